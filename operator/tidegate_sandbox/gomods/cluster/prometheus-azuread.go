//go:build ignore

// Takes the place of remote write's log-in at Azure: the local cluster knows no cloud.

package azuread

import (
	"errors"
	"net/http"
)

// AzureADConfig is refused as soon as it is used.
type AzureADConfig struct{}

// Validate refuses nothing yet.
func (*AzureADConfig) Validate() error { return nil }

// NewAzureADRoundTripper fails.
func NewAzureADRoundTripper(*AzureADConfig, http.RoundTripper) (http.RoundTripper, error) {
	return nil, errors.New("this Prometheus was built without azuread")
}
