package strictjson

// manyNames is from how many members of one object on names are kept in a map:
// comparing each with each would let 64 KiB of tiny members cost a second.
const manyNames = 16

// nameSet holds the names of all objects that are open, the innermost last. Of
// each object the names are compared one by one until there are many, and then
// by a map.
type nameSet struct {
	marks uint64            // of all names that were added: without its mark, a name is new
	first [manyNames]string // so that a small object needs no allocation
	n     int
	more  []string
	many  map[int]map[string]struct{} // by base
}

func (s *nameSet) at(i int) string {
	if i < manyNames {
		return s.first[i]
	}
	return s.more[i-manyNames]
}

// open returns the base of an object that begins now.
func (s *nameSet) open() int { return s.n }

// close forgets the names of the object that began at base.
func (s *nameSet) close(base int) {
	delete(s.many, base)
	s.n = base
	s.more = s.more[:max(0, base-manyNames)]
}

// add records a name in the object that began at base; false if it is there.
func (s *nameSet) add(base int, name string) bool {
	mark := markOf(name)
	if s.marks&mark == 0 && s.n < manyNames {
		s.marks |= mark
		s.first[s.n] = name
		s.n++
		return true
	}
	s.marks |= mark
	if s.n <= manyNames {
		for _, other := range s.first[base:s.n] {
			if other == name {
				return false
			}
		}
	} else if s.n-base < manyNames {
		for i := base; i < s.n; i++ {
			if s.at(i) == name {
				return false
			}
		}
	} else if !s.addMany(base, name) {
		return false
	}
	if s.n < manyNames {
		s.first[s.n] = name
	} else {
		s.more = append(s.more, name)
	}
	s.n++
	return true
}

// markOf is one of 64 bits, for most names of one object another.
func markOf(name string) uint64 {
	n := len(name)
	if n == 0 {
		return 1
	}
	return 1 << ((uint(name[0])*3 + uint(name[n-1])*7 + uint(name[n/2])*13 + uint(n)) & 63)
}

func (s *nameSet) addMany(base int, name string) bool {
	set := s.many[base]
	if set == nil {
		set = make(map[string]struct{}, 2*manyNames)
		for i := base; i < s.n; i++ {
			set[s.at(i)] = struct{}{}
		}
		if s.many == nil {
			s.many = make(map[int]map[string]struct{})
		}
		s.many[base] = set
	}
	if _, twice := set[name]; twice {
		return false
	}
	set[name] = struct{}{}
	return true
}
