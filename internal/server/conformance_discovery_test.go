package server_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/jwk"
)

// registeredMetadata are the members that a discovery document may have without
// the suite's warning: the registry of RFC 8414 §7.1.2, as far as there is use
// for it here.
var registeredMetadata = strings.Fields(`
	issuer authorization_endpoint token_endpoint userinfo_endpoint jwks_uri registration_endpoint introspection_endpoint revocation_endpoint device_authorization_endpoint
	end_session_endpoint check_session_iframe scopes_supported response_types_supported response_modes_supported grant_types_supported
	acr_values_supported subject_types_supported
	id_token_signing_alg_values_supported id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported
	userinfo_signing_alg_values_supported userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
	request_object_signing_alg_values_supported request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported
	token_endpoint_auth_methods_supported token_endpoint_auth_signing_alg_values_supported
	introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
	introspection_signing_alg_values_supported introspection_encryption_alg_values_supported introspection_encryption_enc_values_supported
	revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported
	display_values_supported claim_types_supported claims_supported claims_locales_supported ui_locales_supported prompt_values_supported
	claims_parameter_supported request_parameter_supported request_uri_parameter_supported require_request_uri_registration
	code_challenge_methods_supported authorization_response_iss_parameter_supported service_documentation op_policy_uri op_tos_uri
	frontchannel_logout_supported frontchannel_logout_session_supported backchannel_logout_supported backchannel_logout_session_supported`)

// unregisteredMetadata are of drafts, which have asked for registration, and our own:
// what a reader does not know it ignores (OpenID Connect Discovery §4.2). The suite
// warns of them.
var unregisteredMetadata = []string{"authorization_challenge_endpoint", "global_token_revocation_endpoint", "revocation_feed_endpoint"}

// TestConformanceDiscovery has a subtest for each module about the discovery
// document: conformance.md §2.1 and §2.3.
func TestConformanceDiscovery(t *testing.T) {
	const issuer = "https://login.example.com"
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		inside := "http://" + h.Addr().String() // what a proxy asks
		a := get(t, inside+"/.well-known/openid-configuration")
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.String("issuer") != issuer {
			t.Fatalf("%d %v %s", a.Status, a.Header, a.Text)
		}
		t.Run("discovery-endpoint-verification", func(t *testing.T) {
			conformDocument(t, a, issuer)
			conformKeySet(t, get(t, inside+strings.TrimPrefix(a.String("jwks_uri"), issuer)))
		})
		for module, members := range map[string][]string{
			"rp-initiated-logout-discovery-endpoint-verification": {"end_session_endpoint"},
			"backchannel-logout-discovery-endpoint-verification":  {"end_session_endpoint", "backchannel_logout_supported", "backchannel_logout_session_supported"},
			"frontchannel-logout-discovery-endpoint-verification": {"end_session_endpoint", "frontchannel_logout_supported", "frontchannel_logout_session_supported"},
			"session-management-discovery-endpoint-verification":  {"end_session_endpoint", "check_session_iframe"},
		} {
			t.Run(module, func(t *testing.T) {
				for _, member := range members {
					path := map[string]string{"end_session_endpoint": "/logout", "check_session_iframe": "/session-state"}[member]
					if v := a.JSON[member]; path == "" && v != true || path != "" && v != issuer+path {
						t.Errorf("%s is %v", member, v)
					}
				}
			})
		}
	}, openRegistration, func(c *server.Config) { c.Issuer = issuer })
}

func conformDocument(t *testing.T, a servertest.Answer, issuer string) {
	t.Helper()
	lists := map[string][]string{}
	for name, v := range a.JSON {
		if !slices.Contains(registeredMetadata, name) && !slices.Contains(unregisteredMetadata, name) {
			t.Errorf("a member that nobody knows: %s", name)
		}
		switch v := v.(type) {
		case string:
			if name != "issuer" && !strings.HasPrefix(v, issuer+"/") || strings.ContainsAny(v, "?#") {
				t.Errorf("%s is %s", name, v)
			}
		case []any:
			for _, item := range v {
				text, ok := item.(string)
				if !ok || text == "" || slices.Contains(lists[name], text) {
					t.Errorf("%s has %v", name, item)
				}
				lists[name] = append(lists[name], text)
			}
			if len(v) == 0 { // RFC 8414 §3.2
				t.Errorf("%s is empty", name)
			}
		case bool:
		default:
			t.Errorf("%s is %v", name, v)
		}
	}
	for name, want := range map[string][]string{
		"response_types_supported": {"code", "id_token", "id_token token"}, "grant_types_supported": {"authorization_code", "implicit"},
		"subject_types_supported": {"public"}, "id_token_signing_alg_values_supported": {"RS256"}, "claims_supported": {"sub"},
		"scopes_supported": {"openid"}, "ui_locales_supported": {"en", "ja", "uk"}, "code_challenge_methods_supported": {"S256"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "private_key_jwt"},
	} {
		for _, value := range want {
			if !slices.Contains(lists[name], value) {
				t.Errorf("%s lacks %s", name, value)
			}
		}
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "registration_endpoint"} {
		if a.String(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	syntax := map[string]*regexp.Regexp{
		"scopes_supported":     regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`),                      // RFC 6749 §3.3
		"ui_locales_supported": regexp.MustCompile(`^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2}|-\d{3})?$`), // RFC 5646 §2.1.1, in canonical case
	}
	for name, is := range syntax {
		for _, value := range lists[name] {
			if !is.MatchString(value) {
				t.Errorf("%s has %q", name, value)
			}
		}
	}
}

func conformKeySet(t *testing.T, a servertest.Answer) {
	t.Helper()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(a.Text), &set); a.Status != http.StatusOK || err != nil || len(set.Keys) == 0 {
		t.Fatalf("%d %s %v", a.Status, a.Text, err)
	}
	if _, err := jwk.ParseSet([]byte(a.Text)); err != nil {
		t.Error(err)
	}
	kids := map[any]bool{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, told := k[private]; told {
				t.Errorf("%s is published", private)
			}
		}
		if kid, _ := k["kid"].(string); kid == "" || kids[kid] || k["kty"] == "oct" {
			t.Errorf("%v", k)
		}
		kids[k["kid"]] = true
	}
}
