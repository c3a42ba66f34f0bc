package account

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// The kinds of sign-in, the weakest first: see model.ACRs.
const (
	ACRMail              = model.ACRMail
	ACRPassword          = model.ACRPassword
	ACRMulti             = model.ACRMulti
	ACRPhishingResistant = model.ACRPhishingResistant
)

// ACRs lists them.
func ACRs() []string { return model.ACRs() }

// rank is the place of an acr among them; -1 of one that is not known.
func rank(acr string) int { return slices.Index(ACRs(), acr) }

// Methods lists all ways in which people can prove who they are.
func Methods() []model.Method { return model.Methods() }

const (
	maxRememberDevice = 365 * 24 * time.Hour
	minRememberDevice = time.Minute
)

// checkSignIn fills in and checks what a Config says about signing in.
func (c *Config) checkSignIn() error {
	if c.Methods == nil {
		c.Methods = Methods()
	}
	for _, m := range c.Methods {
		if !slices.Contains(Methods(), m) {
			return fmt.Errorf("sign-in-methods: %q is none of %v", m, Methods())
		}
	}
	if !slices.ContainsFunc(c.Methods, isFirst) {
		return fmt.Errorf("sign-in-methods: nobody could sign in with %v alone", c.Methods)
	}
	if c.SecondFactor == "" {
		c.SecondFactor = model.SecondOptional
	}
	switch c.SecondFactor {
	case model.SecondOff, model.SecondOptional, model.SecondRequired:
	default:
		return fmt.Errorf("second-factor is %q and must be %s, %s or %s", c.SecondFactor, model.SecondOff, model.SecondOptional, model.SecondRequired)
	}
	if c.SecondFactor == model.SecondRequired && !slices.ContainsFunc(c.Methods, isOwned) {
		return errors.New("second-factor is required, and sign-in-methods allow neither totp nor passkey")
	}
	if d := c.RememberDevice; d != 0 && (d < minRememberDevice || d > maxRememberDevice) {
		return fmt.Errorf("remember-device is %v and must be off, or from a minute to 365 days", d)
	}
	return nil
}

// checkPolicy checks what an administrator asks of one person.
func (a *Accounts) checkPolicy(p model.SignInPolicy) error {
	if p.SecondFactor != "" && p.SecondFactor != model.SecondRequired {
		return ErrInvalid{"second_factor", "must be " + model.SecondRequired + " or nothing"}
	}
	if len(p.Methods) > len(Methods()) || slices.ContainsFunc(p.Methods, func(m model.Method) bool { return !slices.Contains(a.methods, m) }) {
		return ErrInvalid{"methods", "must be sign-in methods of this server"}
	}
	if len(p.Methods) > 0 && !slices.ContainsFunc(p.Methods, isFirst) {
		return ErrInvalid{"methods", "must have one to begin with: password, passkey, mail or upstream"}
	}
	methods := p.Methods
	if len(methods) == 0 {
		methods = a.methods
	}
	if (p.SecondFactor == model.SecondRequired || a.second == model.SecondRequired) && rank(model.BestACR(methods)) < rank(ACRMulti) {
		return ErrInvalid{"methods", "must give a second factor, which is required"}
	}
	return nil
}

// isFirst reports whether a sign-in can begin with a method.
func isFirst(m model.Method) bool {
	return m == model.MethodPassword || m == model.MethodPasskey || m == model.MethodMail || m == model.MethodUpstream
}

// isOwned reports whether a method is a second factor that people set up.
func isOwned(m model.Method) bool { return m == model.MethodTOTP || m == model.MethodPasskey }

// amrOf tells of factors in the words of RFC 8176 §2.
func amrOf(factors []model.Factor) []string {
	var amr []string
	add := func(values ...string) {
		for _, v := range values {
			if !slices.Contains(amr, v) {
				amr = append(amr, v)
			}
		}
	}
	for _, f := range factors {
		switch {
		case f.AMR != nil:
			add(f.AMR...)
		case f.Method == model.MethodPassword:
			add("pwd")
		case f.Method == model.MethodPasskey:
			add("pop")
		case f.Method != model.MethodDevice && f.Method != model.MethodUpstream: // what was not told is not known
			add("otp")
		}
	}
	if rank(model.ACROf(factors)) >= rank(ACRMulti) {
		add("mfa")
	}
	return amr
}

// authTime is when the oldest of factors was given: nobody has proven later than
// that who they are.
func authTime(factors []model.Factor) (at int64) {
	for _, f := range factors {
		if f.Method != model.MethodDevice && (at == 0 || f.At < at) {
			at = f.At
		}
	}
	return at
}

// Fresh is how long a proof of who somebody is counts where they change what others
// could use to get in, or what cannot be undone.
const Fresh = 10 * time.Minute

// fresh reports whether a sign-in could have begun with one of factors just now.
func (a *Accounts) fresh(factors []model.Factor) bool {
	return slices.ContainsFunc(factors, func(f model.Factor) bool { return isFirst(f.Method) && a.unix()-f.At < int64(Fresh/time.Second) })
}

// methodsOf lists the methods that a person has who has set up so much, the better one
// first.
func methodsOf(user model.User, n store.FactorCount) (has []model.Method) {
	for _, one := range []struct {
		method model.Method
		there  bool
	}{
		{model.MethodPasskey, n.Passkeys > 0},
		{model.MethodTOTP, n.Apps > 0},
		{model.MethodPassword, user.PasswordHash != ""},
		{model.MethodUpstream, n.Elsewhere > 0},
		{model.MethodRecovery, n.Codes > 0},
		{model.MethodMail, user.Profile.EmailVerified},
	} {
		if one.there {
			has = append(has, one.method)
		}
	}
	return has
}

// Wanted is what somebody has to prove, and who takes it.
type Wanted struct {
	Methods []string // that the client takes; nil: all
	// ACR is the least that has to be reached; empty: anything. Wish is only asked for
	// of who can, and offered to who could.
	ACR, Wish string
	// Session is one whose proofs count beside the new ones; nil: all is to be proven
	// anew.
	Session *model.Session
	Devices map[model.UserID]model.Secret // by which this browser is known to people
}

// allowed is of some methods those that everybody who is asked allows.
func (a *Accounts) allowed(methods []model.Method, user model.User, client []string) (list []model.Method) {
	for _, m := range methods {
		if m == model.MethodRecovery {
			// It stands for the app that was lost.
			if !a.allows(model.MethodTOTP, user, client) && !a.allows(m, user, client) {
				continue
			}
		} else if !a.allows(m, user, client) {
			continue
		}
		list = append(list, m)
	}
	return list
}

func (a *Accounts) allows(m model.Method, user model.User, client []string) bool {
	if m == model.MethodMail && !a.Mails() {
		return false
	}
	own := user.SignIn.Methods
	return slices.Contains(a.methods, m) && (len(own) == 0 || slices.Contains(own, m)) && (len(client) == 0 || slices.Contains(client, string(m)))
}

// firsts are the methods with which a sign-in can begin.
func (a *Accounts) firsts(user model.User, client []string) []model.Method {
	return slices.DeleteFunc(a.allowed(Methods(), user, client), func(m model.Method) bool { return !isFirst(m) })
}

// Takes says whether a method is one of those that the server and a client take.
func (a *Accounts) Takes(m model.Method, client []string) bool {
	return a.allows(m, model.User{}, client)
}

// standing is what is known of a person who is about to sign in.
type standing struct {
	user    model.User
	has     []model.Method // that they have and may use
	may     []model.Method // that they may set up
	owns    bool           // they have set up a second factor of their own
	own     bool           // one that they may use, whatever the client takes
	app     bool           // an app for codes, which a policy may ask for
	factors []model.Factor // that they have given, of those that they may use
	trusted bool           // the browser is remembered
}

func (a *Accounts) stand(tx *store.Tx, user model.User, factors []model.Factor, client []string) (standing, error) {
	n, err := tx.CountFactors(user.ID)
	return a.standWith(user, methodsOf(user, n), factors, client), err
}

// standWith is stand for somebody who has those methods.
func (a *Accounts) standWith(user model.User, has []model.Method, factors []model.Factor, client []string) standing {
	s := standing{user: user, has: has}
	s.owns = slices.ContainsFunc(s.has, isOwned)
	anywhere := a.allowed(s.has, user, nil) // whatever the client takes
	s.own = slices.ContainsFunc(anywhere, isOwned)
	s.app = slices.Contains(anywhere, model.MethodTOTP)
	s.has = a.allowed(s.has, user, client)
	s.may = slices.DeleteFunc(a.allowed(Methods(), user, client), func(m model.Method) bool { return !isOwned(m) })
	for _, f := range factors {
		if f.Method == model.MethodDevice {
			s.trusted = s.trusted || a.rememberDevice > 0
		} else if len(a.allowed([]model.Method{f.Method}, user, client)) > 0 {
			s.factors = append(s.factors, f)
		}
	}
	s.factors = s.count(s.factors)
	return s
}

// count leaves of factors those that count. A password may have been recovered by a
// letter, and so another letter beside it is no second factor for somebody who has
// one of their own.
func (s standing) count(factors []model.Factor) []model.Factor {
	password := slices.ContainsFunc(factors, func(f model.Factor) bool { return f.Method == model.MethodPassword })
	if !s.owns || !password {
		return factors
	}
	return slices.DeleteFunc(factors, func(f model.Factor) bool { return f.Method == model.MethodMail })
}

// wantsSecond reports whether a policy wants a second factor of the person, whatever
// they sign in to.
func (a *Accounts) wantsSecond(s standing) bool {
	switch {
	case s.user.SignIn.SecondFactor == model.SecondRequired, a.second == model.SecondRequired:
		return true
	case a.second == model.SecondOptional:
		// A passkey takes the place of the password: who has one need not have both.
		return s.app
	}
	return false
}

// Lack is what somebody still has to do before a session begins.
type Lack int

const (
	Nothing Lack = iota
	First        // say who they are, and prove it
	Second       // give a further factor
	Enrol        // set a further factor up
	Never        // they cannot prove here what is wanted
)

// missing says what is missing, which methods would do, and whether it is only
// offered.
func (a *Accounts) missing(s standing, w Wanted, declined bool) (m Lack, by []model.Method, offered bool) {
	acr := model.ACROf(s.factors)
	if acr == "" {
		return First, a.firsts(s.user, w.Methods), false
	}
	need := -1
	if a.wantsSecond(s) && !s.trusted {
		need = rank(ACRMulti)
	}
	if w.ACR != "" {
		if rank(w.ACR) < 0 {
			return Never, nil, false
		}
		need = max(need, rank(w.ACR))
	}
	if rank(acr) < need {
		m, by = s.towards(need)
		return m, by, false
	}
	if wish := rank(w.Wish); !declined && rank(acr) < wish {
		if m, by = s.towards(wish); m == Second || m == Enrol {
			return m, by, true
		}
	}
	return Nothing, nil, false
}

// towards says how to get to a rank from where a person stands. What they have
// comes before what they could set up; and who has a second factor gives it before
// they set up another one.
func (s standing) towards(need int) (Lack, []model.Method) {
	reach := func(methods []model.Method, need int) (list []model.Method) {
		for _, m := range methods {
			if m == model.MethodUpstream {
				continue // people begin with it, at the sign-in page
			}
			with := s.count(append(slices.Clone(s.factors), model.Factor{Method: m, Verified: m == model.MethodPasskey}))
			if r := rank(model.ACROf(with)); r >= need && r > rank(model.ACROf(s.factors)) {
				list = append(list, m)
			}
		}
		return list
	}
	if by := reach(s.has, need); len(by) > 0 {
		return Second, by
	}
	by := reach(s.may, need)
	switch more := reach(s.has, rank(ACRMulti)); {
	case len(by) == 0:
		return Never, nil
	case len(more) > 0:
		return Second, more
	case s.own && rank(model.ACROf(s.factors)) < rank(ACRMulti):
		// The client takes none of theirs: with a password that somebody has found out,
		// nobody shall set up another one.
		return Never, nil
	}
	return Enrol, by
}

// best is the rank that a person can reach.
func (s standing) best() int {
	best := rank(model.ACROf(s.factors))
	for r := best + 1; r < len(ACRs()); r++ {
		if m, _ := s.towards(r); m != Never {
			best = r
		}
	}
	return best
}

// keepMethod refuses to take the last way to sign in away from a person.
func (a *Accounts) keepMethod(tx *store.Tx, k model.Passkey) error {
	has, err := tx.PasskeysOf(k.UserID)
	if err != nil || len(has) > 1 {
		return err
	}
	user, n, err := tx.UserAndFactors(k.UserID)
	if err != nil {
		return err
	}
	for _, m := range a.allowed(methodsOf(user, n), user, nil) {
		if isFirst(m) && m != model.MethodPasskey {
			return nil
		}
	}
	return ErrLastMethod
}
