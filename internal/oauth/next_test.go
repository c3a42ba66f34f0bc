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
	bound := func(r model.Request, approved ...string) model.Request {
		r.Chosen, r.Approved = "s", approved
		return r
	}
	proven := func(r model.Request, approved ...string) model.Request {
		r.SessionID = "s"
		return bound(r, approved...)
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
		{"approved in another session", model.Request{Chosen: "other", SessionID: "other", Approved: all, Asked: model.Asked{Scope: all}}, session, nil, false, StepLogin, ""},
		{"signed in for this request in another session", model.Request{Chosen: "other", SessionID: "other", Asked: model.Asked{Scope: all}}, session, all, false, StepLogin, ""},
		{"bound to a session that is gone", model.Request{Chosen: "other", Asked: model.Asked{Scope: all}}, nil, nil, true, StepLogin, ""},
		{"bound and not approved", bound(asked(model.Asked{})), session, nil, false, StepConsent, ""},
		{"bound and approved", bound(asked(model.Asked{}), all...), session, nil, false, StepIssue, ""},

		{"prompt=none, nobody", asked(model.Asked{Prompt: []string{"none"}}), nil, nil, true, StepRefuse, LoginRequired},
		{"prompt=none, signed in", asked(model.Asked{Prompt: []string{"none"}}), session, all, false, StepIssue, ""},
		{"prompt=none, no consent", asked(model.Asked{Prompt: []string{"none"}}), session, nil, false, StepRefuse, ConsentRequired},
		{"prompt=none, too old", asked(model.Asked{Prompt: []string{"none"}, MaxAge: &zero}), session, all, false, StepRefuse, LoginRequired},

		{"prompt=login", asked(model.Asked{Prompt: []string{"login"}}), session, all, true, StepLogin, ""},
		{"prompt=login, done for this request", proven(asked(model.Asked{Prompt: []string{"login"}})), session, all, true, StepIssue, ""},
		{"prompt=login, chosen is not signed in", bound(asked(model.Asked{Prompt: []string{"login"}})), session, all, true, StepLogin, ""},
		{"prompt=select_account", asked(model.Asked{Prompt: []string{"select_account"}}), session, all, true, StepSelect, ""},
		{"prompt=select_account, nobody to select", asked(model.Asked{Prompt: []string{"select_account"}}), nil, nil, true, StepLogin, ""},
		{"prompt=select_account, the session was ended", asked(model.Asked{Prompt: []string{"select_account"}}), &ended, all, true, StepLogin, ""},
		{"prompt=select_account, selected", bound(asked(model.Asked{Prompt: []string{"select_account"}})), session, all, false, StepIssue, ""},
		{"prompt=select_account, selected, no consent", bound(asked(model.Asked{Prompt: []string{"select_account"}})), session, nil, false, StepConsent, ""},
		{"prompt=select_account, signed in instead", proven(asked(model.Asked{Prompt: []string{"select_account"}})), session, all, false, StepIssue, ""},
		{"prompt=select_account login, first the account", asked(model.Asked{Prompt: []string{"login", "select_account"}}), session, all, true, StepSelect, ""},
		{"prompt=select_account login, then the sign-in", bound(asked(model.Asked{Prompt: []string{"login", "select_account"}})), session, all, true, StepLogin, ""},
		{"prompt=select_account login, done", proven(asked(model.Asked{Prompt: []string{"login", "select_account"}})), session, all, true, StepIssue, ""},
		{"prompt=select_account consent, selected", bound(asked(model.Asked{Prompt: []string{"consent", "select_account"}})), session, all, true, StepConsent, ""},
		{"prompt=create, nobody", asked(model.Asked{Prompt: []string{"create"}}), nil, nil, true, StepCreate, ""},
		{"prompt=create, somebody is signed in", asked(model.Asked{Prompt: []string{"create"}}), session, all, true, StepCreate, ""},
		{"prompt=create, done for this request", proven(asked(model.Asked{Prompt: []string{"create"}})), session, nil, false, StepConsent, ""},
		{"prompt=consent, given before", asked(model.Asked{Prompt: []string{"consent"}}), session, all, false, StepConsent, ""},
		{"prompt=consent, first party", asked(model.Asked{Prompt: []string{"consent"}}), session, nil, true, StepConsent, ""},
		{"prompt=consent, approved on the page", proven(asked(model.Asked{Prompt: []string{"consent"}}), all...), session, all, false, StepIssue, ""},

		{"max_age in time", asked(model.Asked{MaxAge: &hour}), session, all, false, StepIssue, ""},
		{"max_age=0", asked(model.Asked{MaxAge: &zero}), session, all, false, StepLogin, ""},
		{"max_age=0, chosen is not signed in", bound(asked(model.Asked{MaxAge: &zero})), session, all, false, StepLogin, ""},
		{"max_age in time, chosen", bound(asked(model.Asked{MaxAge: &hour})), session, all, false, StepIssue, ""},
		{"max_age=0, done for this request", proven(asked(model.Asked{MaxAge: &zero})), session, all, false, StepIssue, ""},

		{"hint for the person", asked(model.Asked{Subject: "u"}), session, all, false, StepIssue, ""},
		{"hint for another person", asked(model.Asked{Subject: "v"}), session, all, false, StepLogin, ""},
		{"hint for another person, prompt=none", asked(model.Asked{Subject: "v", Prompt: []string{"none"}}), session, all, false, StepRefuse, LoginRequired},
		{"hint for another person, who was not it after all", proven(asked(model.Asked{Subject: "v"})), session, all, false, StepRefuse, LoginRequired},
		{"hint for another person than was chosen", bound(asked(model.Asked{Subject: "v", Prompt: []string{"select_account"}})), session, all, false, StepRefuse, LoginRequired},

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
			step, e := Next(Situation{Now: now, Client: client, Request: row.request, Session: row.session, Consent: row.consent, Claims: []string{"phone_number"},
				Stands: Standing{ACR: "pwd", Best: "pwd"}, Ladder: []string{"pwd", "x"}})
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

// TestNextFactor is the part of the table about how a person has signed in: OpenID
// Connect Core §5.5.1.1, RFC 9470 §5, and the policies of the server and the client.
func TestNextFactor(t *testing.T) {
	const now = 1_000_000
	zero := int64(0)
	could, cannot, has := Standing{ACR: "pwd", Best: "mfa"}, Standing{ACR: "pwd", Best: "pwd"}, Standing{ACR: "mfa", Best: "mfa"}
	short := Standing{ACR: "pwd", Short: true, Best: "mfa"}
	for _, row := range []struct {
		name   string
		asked  model.Asked
		client string // its required_acr
		stands Standing
		proven bool
		step   Step
		code   Code
	}{
		{"an essential acr, reachable", model.Asked{ACRRequired: []string{"mfa"}}, "", could, false, StepFactor, ""},
		{"an essential acr, reachable, signed in for the request", model.Asked{ACRRequired: []string{"mfa"}}, "", could, true, StepFactor, ""},
		{"an essential acr, a stronger one is there", model.Asked{ACRRequired: []string{"mail"}}, "", could, false, StepIssue, ""},
		{"an essential acr, one of two", model.Asked{ACRRequired: []string{"phr", "mfa"}}, "", has, false, StepIssue, ""},
		{"an essential acr, not for this person", model.Asked{ACRRequired: []string{"mfa"}}, "", cannot, false, StepLogin, ""},
		{"an essential acr, not for this person after all", model.Asked{ACRRequired: []string{"mfa"}}, "", cannot, true, StepRefuse, UnmetAuthentication},
		{"an essential acr, prompt=none", model.Asked{ACRRequired: []string{"mfa"}, Prompt: []string{"none"}}, "", could, false, StepRefuse, LoginRequired},
		{"acr_values, reachable", model.Asked{ACRValues: []string{"mfa"}}, "", could, false, StepFactor, ""},
		{"acr_values, told once", model.Asked{ACRValues: []string{"mfa"}}, "", could, true, StepIssue, ""},
		{"acr_values, not reachable", model.Asked{ACRValues: []string{"mfa"}}, "", cannot, false, StepIssue, ""},
		{"acr_values, reached", model.Asked{ACRValues: []string{"mfa"}}, "", has, false, StepIssue, ""},
		{"acr_values, a weaker one will do", model.Asked{ACRValues: []string{"phr", "pwd"}}, "", could, false, StepIssue, ""},
		{"acr_values, prompt=none: a wish asks nobody", model.Asked{ACRValues: []string{"mfa"}, Prompt: []string{"none"}}, "", could, false, StepIssue, ""},
		{"acr_values, unknown", model.Asked{ACRValues: []string{"urn:x"}}, "", could, false, StepIssue, ""},
		{"acr_values and max_age: everything anew", model.Asked{ACRValues: []string{"mfa"}, MaxAge: &zero}, "", could, false, StepLogin, ""},
		{"acr_values and prompt=login: everything anew", model.Asked{ACRValues: []string{"mfa"}, Prompt: []string{"login"}}, "", could, false, StepLogin, ""},
		{"the client's required_acr", model.Asked{}, "mfa", could, false, StepFactor, ""},
		{"the client's required_acr beside a weaker one", model.Asked{ACRRequired: []string{"pwd"}}, "mfa", could, true, StepFactor, ""},
		{"the client's required_acr is there", model.Asked{}, "pwd", has, false, StepIssue, ""},
		{"a policy wants a second factor", model.Asked{}, "", short, false, StepFactor, ""},
		{"a policy wants one, signed in for the request", model.Asked{}, "", short, true, StepFactor, ""},
		{"the client takes nothing of what was proven", model.Asked{}, "", Standing{Best: "mfa"}, false, StepLogin, ""},
		{"the client takes nothing of what was proven for the request", model.Asked{}, "", Standing{Best: "mfa"}, true, StepLogin, ""},
		{"the client takes nothing of what was proven, prompt=none", model.Asked{Prompt: []string{"none"}}, "", Standing{Best: "mfa"}, true, StepRefuse, LoginRequired},
	} {
		t.Run(row.name, func(t *testing.T) {
			session := &model.Session{ID: "s", UserID: "u", AuthTime: now - 100, IdleAt: now + 10, ExpiresAt: now + 10}
			client := model.Client{}
			client.FirstParty, client.RequiredACR = true, row.client
			r := model.Request{Asked: row.asked}
			if row.proven {
				r.Chosen, r.SessionID = "s", "s"
			}
			step, e := Next(Situation{Now: now, Client: client, Request: r, Session: session, Stands: row.stands, Ladder: []string{"mail", "pwd", "mfa", "phr"}})
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

// TestNextBesideOthers: OpenID Connect Core §3.1.2.6 for the errors of
// prompt=none, when several people are signed in at the browser.
func TestNextBesideOthers(t *testing.T) {
	const now = 1_000_000
	hour := int64(3600)
	young := model.Session{ID: "young", UserID: "u", AuthTime: now - 100, IdleAt: now + 10, ExpiresAt: now + 10}
	old := young
	old.ID, old.UserID, old.AuthTime = "old", "v", now-7200
	all := []string{"openid"}
	for _, row := range []struct {
		name       string
		prompt     string
		asked      model.Asked
		picked     *model.Session
		consent    []string
		other      *model.Session
		hasConsent []string
		step       Step
		code       Code
	}{
		{"the current one fits", "none", model.Asked{}, &young, all, &old, all, StepIssue, ""},
		{"the current one fits, no other does", "none", model.Asked{}, &young, all, &old, nil, StepIssue, ""},
		{"only another one agreed", "none", model.Asked{}, &young, nil, &old, all, StepRefuse, AccountSelectionRequired},
		{"only another one is young enough", "none", model.Asked{MaxAge: &hour}, &old, all, &young, all, StepRefuse, AccountSelectionRequired},
		{"nobody agreed", "none", model.Asked{}, &young, nil, &old, nil, StepRefuse, ConsentRequired},
		{"nobody is young enough", "none", model.Asked{MaxAge: new(int64)}, &young, all, &old, all, StepRefuse, LoginRequired},
		{"the hinted one must sign in, whoever else would do", "none", model.Asked{Subject: "v", MaxAge: &hour}, &old, all, &young, all, StepRefuse, LoginRequired},
		{"the hinted one is not here", "none", model.Asked{Subject: "w"}, &young, all, &old, all, StepRefuse, LoginRequired},
		{"with pages, the current one is asked", "", model.Asked{}, &young, nil, &old, all, StepConsent, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.asked.Scope = all
			if row.prompt != "" {
				row.asked.Prompt = []string{row.prompt}
			}
			r := model.Request{Asked: row.asked}
			stands := Standing{ACR: "pwd", Best: "pwd"}
			step, e := Next(Situation{Now: now, Request: r, Session: row.picked, Consent: row.consent, Stands: stands,
				Others: []Situation{{Now: now, Request: r, Session: row.other, Consent: row.hasConsent, Stands: stands}}})
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

// TestPick: whose account a request is for.
func TestPick(t *testing.T) {
	sessions := []model.Session{{ID: "s1", UserID: "u1"}, {ID: "s2", UserID: "u2"}, {ID: "s3", UserID: "u3"}}
	for _, row := range []struct {
		name     string
		request  model.Request
		sessions []model.Session
		hinted   model.UserID
		want     int
	}{
		{"nobody", model.Request{}, nil, "", -1},
		{"nobody, hinted", model.Request{Asked: model.Asked{Subject: "u2"}}, nil, "u2", -1},
		{"the current one", model.Request{}, sessions, "", 0},
		{"id_token_hint", model.Request{Asked: model.Asked{Subject: "u2"}}, sessions, "", 1},
		{"id_token_hint for somebody else", model.Request{Asked: model.Asked{Subject: "u9"}}, sessions, "", 0},
		{"login_hint", model.Request{}, sessions, "u3", 2},
		{"id_token_hint before login_hint", model.Request{Asked: model.Asked{Subject: "u2"}}, sessions, "u3", 1},
		{"bound", model.Request{Chosen: "s3"}, sessions, "", 2},
		{"bound, against both hints", model.Request{Chosen: "s3", Asked: model.Asked{Subject: "u2"}}, sessions, "u1", 2},
		{"bound to one that is over", model.Request{Chosen: "s9"}, sessions, "u1", -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Pick(row.request, row.sessions, row.hinted); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}
