//go:build ignore

// Takes the place of Prometheus' log-in at AWS: the local cluster knows no cloud.

package sigv4

import (
	"errors"
	"net/http"
)

// NewSigV4RoundTripper fails.
func NewSigV4RoundTripper(*SigV4Config, http.RoundTripper) (http.RoundTripper, error) {
	return nil, errors.New("this Prometheus was built without sigv4")
}
