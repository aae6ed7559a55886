"""What was seen becomes work: what somebody did at once, what a rollout makes many of in a moment, what says nothing new not at all."""

from collections.abc import Callable
from typing import Final

from chatbot_operator.cache import News, ResourceKey
from chatbot_operator.informer import Change
from chatbot_operator.queue import Lane, Queue

CALM_SECONDS: Final = 2.0
"""From what comes in numbers (changes of a status, reports, answers to our own writes) to the pass that looks at all of it."""

_WITH_A_STATUS_THAT_COUNTS: Final = "Deployment"
_OF_THE_PODS: Final = "EndpointSlice"


class Triggers:
    """Adds the keys of resources to the queue; `nudge` has the pods of one polled, `discover` those of one that is new.

    What is seen while this process does not lead adds nothing: nobody would take it, and who begins to lead looks at everything.
    """

    def __init__(
        self,
        queue: Queue[ResourceKey],
        *,
        nudge: Callable[[ResourceKey], None],
        discover: Callable[[ResourceKey], None],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queue = queue
        self._nudge = nudge
        self._discover = discover
        self._leads = leads

    def resource_changed(self, key: ResourceKey, news: News) -> None:
        """Take a change of a ChatbotDeployment."""
        if not self._leads():
            return
        if news is News.STATUS:
            self.look_soon(key)
        else:
            self._queue.add(key)  # first: an error in finding pods must lose no change
            self._discover(key)

    def owned_changed(self, change: Change) -> None:
        """Take a change of what belongs to one."""
        key, kind = change.resource, change.key.kind
        if key is None or not self._leads():
            return
        if kind == _OF_THE_PODS:
            self.look_soon(key)
            self._nudge(key)
        elif change.news is News.STATUS:
            if kind == _WITH_A_STATUS_THAT_COUNTS:
                self.look_soon(key)
        elif change.news is News.INTENT and self._queue.works_on(key):
            self.look_soon(key)  # most likely the worker's own doing
        else:
            self._queue.add(key)

    def look_soon(self, key: ResourceKey) -> None:
        """Have a resource looked at in a moment, once for all that happens until then."""
        self._queue.add_after(key, CALM_SECONDS, lane=Lane.ROUTINE)

    def look_again(self, key: ResourceKey) -> None:
        """Have a resource looked at when there is nothing more urgent."""
        if self._leads():
            self._queue.add(key, lane=Lane.ROUTINE)
