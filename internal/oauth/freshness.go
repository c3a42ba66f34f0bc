package oauth

import "strconv"

// checkMaxAge reads how long ago the sign-in may be. Where the request does not
// say, the registration does (OpenID Connect Dynamic Client Registration §2).
func checkMaxAge(d *draft) *Error {
	text := d.params.get("max_age")
	if text == "" {
		d.asked.MaxAge = d.client.DefaultMaxAge
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || text[0] == '+' {
		return fail(InvalidRequest, "The max_age must be a number of seconds")
	}
	age := int64(n)
	d.asked.MaxAge = &age
	return nil
}

// checkACRValues reads how people would best prove who they are: a wish, which
// never fails (OpenID Connect Core §5.5.1.1). The ID token says what it was.
func checkACRValues(d *draft) *Error {
	d.asked.ACRValues = d.params.list("acr_values")
	if len(d.asked.ACRValues) == 0 {
		d.asked.ACRValues = d.client.DefaultACRValues // OpenID Connect Dynamic Client Registration §2
	}
	return nil
}

// requireACR notes that the sign-in must be one of the given kinds. Where none of
// them can be reached here, the request ends at once.
//
// OpenID Connect Core §5.5.1.1: "If this is an Essential Claim and the requirement
// cannot be met, then the Authorization Server MUST treat that outcome as a failed
// authentication attempt." The code is that of OpenID Connect Core Error Code
// unmet_authentication_requirements §1.
func (d *draft) requireACR(values []string) *Error {
	best := ""
	if n := len(d.ACRValues); n > 0 {
		best = d.ACRValues[n-1]
	}
	if !d.satisfies(best, values) {
		return errUnmetACR()
	}
	d.asked.ACRRequired = values
	return nil
}

func errUnmetACR() *Error {
	return fail(UnmetAuthentication, "The person cannot sign in here in any of the ways that are required")
}
