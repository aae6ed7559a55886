package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"strconv"
	"time"
)

// intermediates is how many authorities stand between the root and the server: what a public API sends is a chain of about three, and a
// client keeps it with each connection.
const intermediates = 2

// issuer is a key and its certificate, the first of the chain up to the root.
type issuer struct {
	chain []*x509.Certificate
	key   *ecdsa.PrivateKey
}

// newChain makes a certificate for `address` that lasts for a day, and writes the root that signed it to `rootFile`. Its keys are never written.
func newChain(address net.IP, rootFile string) (tls.Certificate, error) {
	var by issuer
	var err error
	for depth := intermediates; depth >= 0; depth-- {
		if by, err = by.issue(authority(depth)); err != nil {
			return tls.Certificate{}, err
		}
	}
	root := by.chain[len(by.chain)-1]
	if by, err = by.issue(server(address)); err != nil {
		return tls.Certificate{}, err
	}
	sent := tls.Certificate{PrivateKey: by.key}
	for _, each := range by.chain[:1+intermediates] {
		sent.Certificate = append(sent.Certificate, each.Raw)
	}
	return sent, os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600)
}

// issue signs what is described, with a new key; an issuer without a certificate signs itself.
func (by issuer) issue(described *x509.Certificate) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	parent, signing := described, key
	if by.chain != nil {
		parent, signing = by.chain[0], by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, described, parent, key.Public(), signing)
	if err != nil {
		return issuer{}, err
	}
	made, err := x509.ParseCertificate(der)
	return issuer{append([]*x509.Certificate{made}, by.chain...), key}, err
}

func authority(depth int) *x509.Certificate {
	described := named("Bench Authority " + strconv.Itoa(depth))
	described.IsCA, described.BasicConstraintsValid = true, true
	described.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return described
}

func server(address net.IP) *x509.Certificate {
	described := named("Bench API")
	described.BasicConstraintsValid = true
	described.KeyUsage, described.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	described.IPAddresses = []net.IP{address}
	return described
}

func named(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
	}
}
