package jwt_test

// tally counts what a test refused and what it accepted: an attack without its good
// twin proves nothing.
var tally struct{ refused, accepted int }
