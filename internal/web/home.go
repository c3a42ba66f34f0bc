package web

import "net/http"

// home tells a person who they are here.
func (s *Web) home(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	page := homePage{SignOut: s.base + "/logout/confirm"}
	if who != nil {
		u := userOf(who.User)
		page.User = &u
	}
	s.pages.home(w, r, page)
	return nil
}

func (s *Web) notFound(w http.ResponseWriter, r *http.Request) error {
	s.pages.notFound(w, r, notFoundPage{})
	return nil
}
