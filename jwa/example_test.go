package jwa_test

import (
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/jwa"
)

// Names from a configuration are checked once, and what is missing is said.
func ExampleAlgorithm_Check() {
	for _, name := range []jwa.Algorithm{"ES256", "es256", "ML-DSA-44"} {
		err := name.Check()
		fmt.Println(name, err == nil, errors.Is(err, jwa.ErrUnknown), errors.Is(err, jwa.ErrUnsupported))
	}
	// Output:
	// ES256 true false false
	// es256 false true false
	// ML-DSA-44 false false true
}
