//go:build !linux && !darwin && !freebsd

package doctor

// freeBytes is not asked elsewhere.
func freeBytes(string) (int64, bool) { return 0, false }
