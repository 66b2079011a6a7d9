//go:build ignore

// Takes the place of the description of Prometheus' own API in OpenAPI, /api/v1/openapi.yaml, which nothing asks for here: the
// library that writes it takes as long to compile as all of etcd.

package v1

import (
	"log/slog"
	"net/http"
)

// OpenAPIOptions are of no effect.
type OpenAPIOptions struct {
	IncludePaths         []string
	ExternalURL, Version string
	MaxSearchLimit       int
}

// OpenAPIBuilder builds nothing.
type OpenAPIBuilder struct{}

// NewOpenAPIBuilder returns a builder of nothing.
func NewOpenAPIBuilder(OpenAPIOptions, *slog.Logger) *OpenAPIBuilder { return &OpenAPIBuilder{} }

// ServeOpenAPI says that there is no description.
func (*OpenAPIBuilder) ServeOpenAPI(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// WrapHandler changes nothing, as in Prometheus itself.
func (*OpenAPIBuilder) WrapHandler(next http.HandlerFunc) http.HandlerFunc { return next }
