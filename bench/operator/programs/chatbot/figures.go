package chatbot

import "fmt"

// Histogram counts samples by upper bound; the last count is of what exceeds every bound.
type Histogram struct {
	Bounds, Counts []int64
}

// Window is what pods saw within one span of time.
type Window struct {
	Requests, Errors        int64
	LatencyMs, FirstTokenMs Histogram
}

// Figures are what the pods counted, by window.
type Figures struct {
	Windows                   map[string]Window
	InputTokens, OutputTokens int64
}

// Add adds what one more pod counted.
func (f *Figures) Add(windows map[string]Window, input, output int64) {
	if f.Windows == nil {
		f.Windows = map[string]Window{}
	}
	for name, more := range windows {
		sum := f.Windows[name]
		sum.Requests, sum.Errors = sum.Requests+more.Requests, sum.Errors+more.Errors
		sum.LatencyMs, sum.FirstTokenMs = sum.LatencyMs.plus(more.LatencyMs), sum.FirstTokenMs.plus(more.FirstTokenMs)
		f.Windows[name] = sum
	}
	f.InputTokens, f.OutputTokens = f.InputTokens+input, f.OutputTokens+output
}

// plus returns the histogram of all samples. All pods have the same bounds here.
func (h Histogram) plus(more Histogram) Histogram {
	if h.Bounds == nil {
		return more
	}
	sum := Histogram{Bounds: h.Bounds, Counts: make([]int64, len(h.Counts))}
	for index := range h.Counts {
		sum.Counts[index] = h.Counts[index] + more.Counts[index]
	}
	return sum
}

// p95 returns below which value 95 of 100 samples lie, as PromQL's histogram_quantile does.
func (h Histogram) p95() int64 {
	var samples, below int64
	for _, count := range h.Counts {
		samples += count
	}
	var lower int64
	for index, bound := range h.Bounds {
		if count := h.Counts[index]; count > 0 && (below+count)*100 >= samples*95 {
			return lower + (bound-lower)*(samples*95-below*100)/(count*100)
		}
		below, lower = below+h.Counts[index], bound
	}
	return lower
}

func (w Window) status() *SLOStatus {
	failed := int64(0)
	if w.Requests > 0 {
		failed = w.Errors * 10000 / w.Requests
	}
	return &SLOStatus{
		P95Milliseconds:                 w.LatencyMs.p95(),
		TimeToFirstTokenP95Milliseconds: w.FirstTokenMs.p95(),
		ErrorRatePercent:                percent(failed),
		AvailabilityPercent:             percent(10000 - failed),
		Samples:                         roundedDown(w.Requests),
	}
}

func percent(basisPoints int64) string {
	return fmt.Sprintf("%d.%02d", basisPoints/100, basisPoints%100)
}

// roundedDown returns a number with three significant digits.
func roundedDown(value int64) int64 {
	step := int64(1)
	for value/step >= 1000 {
		step *= 10
	}
	return value / step * step
}
