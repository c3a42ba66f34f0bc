package oauth

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// TestNext is the decision table of the dispatcher: OpenID Connect Core
// §3.1.2.1 for prompt, max_age and id_token_hint, §3.1.2.6 for the errors.
func TestNext(t *testing.T) {
	const now = 1_000_000
	zero, hour := int64(0), int64(3600)
	session := &model.Session{ID: "s", UserID: "u", AuthTime: now - 100, ACR: "pwd", IdleAt: now + 10, ExpiresAt: now + 10}
	ended := *session
	ended.EndedAt = now - 1
	idle := *session
	idle.IdleAt = now
	all := []string{"openid", "email"}
	one := func(name string) model.ClaimsRequest {
		return model.ClaimsRequest{UserInfo: model.WantedClaims{name: nil}}
	}
	asked := func(a model.Asked) model.Request {
		a.Scope = all
		return model.Request{Asked: a}
	}
	proven := func(r model.Request, approved ...string) model.Request {
		r.SessionID, r.Approved = "s", approved
		return r
	}
	for _, row := range []struct {
		name    string
		request model.Request
		session *model.Session
		consent []string
		first   bool
		step    Step
		code    Code
	}{
		{"nobody is signed in", asked(model.Asked{}), nil, nil, true, StepLogin, ""},
		{"the session was ended", asked(model.Asked{}), &ended, all, true, StepLogin, ""},
		{"the session was idle too long", asked(model.Asked{}), &idle, all, true, StepLogin, ""},
		{"signed in, first party", asked(model.Asked{}), session, nil, true, StepIssue, ""},
		{"signed in, consent given before", asked(model.Asked{}), session, all, false, StepIssue, ""},
		{"signed in, no consent", asked(model.Asked{}), session, nil, false, StepConsent, ""},
		{"consent for less", asked(model.Asked{}), session, []string{"openid"}, false, StepConsent, ""},
		{"approved on the page", proven(asked(model.Asked{}), all...), session, nil, false, StepIssue, ""},
		{"approved less than is asked", proven(asked(model.Asked{}), "openid"), session, nil, false, StepConsent, ""},
		{"approved in another session", model.Request{SessionID: "other", Approved: all, Asked: model.Asked{Scope: all}}, session, nil, false, StepConsent, ""},

		{"prompt=none, nobody", asked(model.Asked{Prompt: []string{"none"}}), nil, nil, true, StepRefuse, LoginRequired},
		{"prompt=none, signed in", asked(model.Asked{Prompt: []string{"none"}}), session, all, false, StepIssue, ""},
		{"prompt=none, no consent", asked(model.Asked{Prompt: []string{"none"}}), session, nil, false, StepRefuse, ConsentRequired},
		{"prompt=none, too old", asked(model.Asked{Prompt: []string{"none"}, MaxAge: &zero}), session, all, false, StepRefuse, LoginRequired},

		{"prompt=login", asked(model.Asked{Prompt: []string{"login"}}), session, all, true, StepLogin, ""},
		{"prompt=login, done for this request", proven(asked(model.Asked{Prompt: []string{"login"}})), session, all, true, StepIssue, ""},
		{"prompt=select_account", asked(model.Asked{Prompt: []string{"select_account"}}), session, all, true, StepLogin, ""},
		{"prompt=consent, given before", asked(model.Asked{Prompt: []string{"consent"}}), session, all, false, StepConsent, ""},
		{"prompt=consent, first party", asked(model.Asked{Prompt: []string{"consent"}}), session, nil, true, StepConsent, ""},
		{"prompt=consent, approved on the page", proven(asked(model.Asked{Prompt: []string{"consent"}}), all...), session, all, false, StepIssue, ""},

		{"max_age in time", asked(model.Asked{MaxAge: &hour}), session, all, false, StepIssue, ""},
		{"max_age=0", asked(model.Asked{MaxAge: &zero}), session, all, false, StepLogin, ""},
		{"max_age=0, done for this request", proven(asked(model.Asked{MaxAge: &zero})), session, all, false, StepIssue, ""},

		{"hint for the person", asked(model.Asked{Subject: "u"}), session, all, false, StepIssue, ""},
		{"hint for another person", asked(model.Asked{Subject: "v"}), session, all, false, StepLogin, ""},
		{"hint for another person, prompt=none", asked(model.Asked{Subject: "v", Prompt: []string{"none"}}), session, all, false, StepRefuse, LoginRequired},
		{"hint for another person, who was not it after all", proven(asked(model.Asked{Subject: "v"})), session, all, false, StepRefuse, LoginRequired},

		{"the required acr is reached", asked(model.Asked{ACRRequired: []string{"x", "pwd"}}), session, all, false, StepIssue, ""},
		{"the required acr is not reached yet", asked(model.Asked{ACRRequired: []string{"x"}}), session, all, false, StepLogin, ""},
		{"the required acr, nobody", asked(model.Asked{ACRRequired: []string{"x"}}), nil, all, false, StepLogin, ""},
		{"the required acr is not reached, prompt=none", asked(model.Asked{ACRRequired: []string{"x"}, Prompt: []string{"none"}}), session, all, false, StepRefuse, LoginRequired},
		{"the required acr was not reached after all", proven(asked(model.Asked{ACRRequired: []string{"x"}})), session, all, false, StepRefuse, UnmetAuthentication},
		{"another acr is wished for", asked(model.Asked{ACRValues: []string{"x"}}), session, all, false, StepIssue, ""},

		{"a claim that a scope asked for tells", asked(model.Asked{Claims: one("email")}), session, all, false, StepIssue, ""},
		{"a claim that a scope allowed before tells", asked(model.Asked{Claims: one("name")}), session, append(all, "profile"), false, StepIssue, ""},
		{"a claim beside the scopes", asked(model.Asked{Claims: one("name")}), session, all, false, StepConsent, ""},
		{"a claim beside the scopes, first party", asked(model.Asked{Claims: one("name")}), session, all, true, StepIssue, ""},
		{"a claim beside the scopes, prompt=none", asked(model.Asked{Claims: one("name"), Prompt: []string{"none"}}), session, all, false, StepRefuse, ConsentRequired},
		{"a claim beside the scopes, approved on the page", proven(asked(model.Asked{Claims: one("name")}), all...), session, nil, false, StepIssue, ""},
		{"a claim that was allowed by itself before", asked(model.Asked{Claims: one("phone_number")}), session, all, false, StepIssue, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			client := model.Client{}
			client.FirstParty = row.first
			step, e := Next(Situation{Now: now, Client: client, Request: row.request, Session: row.session, Consent: row.consent, Claims: []string{"phone_number"}})
			var code Code
			if e != nil {
				code = e.Code
			}
			if step != row.step || code != row.code {
				t.Errorf("got %d %q, want %d %q", step, code, row.step, row.code)
			}
		})
	}
}
