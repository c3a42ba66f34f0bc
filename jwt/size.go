package jwt

const (
	// MaxInHeader is how many bytes a token may have to pass as "Authorization:
	// Bearer …" where a header line may have 8 KiB, as in nginx unless it is told
	// otherwise; Apache takes one byte more. Nothing in this package refuses a
	// longer token: whoever makes them out of what they do not rule over, such as
	// groups, compares len(token) with it and says so, there and then. Some servers
	// take 8 KiB of all headers together: stay well below.
	MaxInHeader = 8<<10 - len("Authorization: Bearer \r\n")

	// MaxInCookie is how many bytes a browser keeps of a cookie, RFC 6265 §6.1: the
	// token, the cookie's name and its attributes together.
	MaxInCookie = 4096
)
