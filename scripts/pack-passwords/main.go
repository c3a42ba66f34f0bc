// Command pack-passwords makes internal/credential/common.bin from a list of
// passwords on standard input, one a line; scripts/refresh-passwords runs it.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/credential"
)

func main() {
	if err := pack(); err != nil {
		fmt.Fprintln(os.Stderr, "pack-passwords:", err)
		os.Exit(1)
	}
}

func pack() error {
	var keys []uint64
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if word := credential.Folded(lines.Text()); wanted(word) {
			keys = append(keys, credential.CommonKey(word))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	packed := make([]byte, credential.CommonBuckets, credential.CommonBuckets+3*len(keys))
	for _, key := range keys {
		if packed[key>>24] == 255 {
			return fmt.Errorf("a bucket has more than 255 entries")
		}
		packed[key>>24]++
		packed = append(packed, byte(key>>16), byte(key>>8), byte(key))
	}
	_, err := os.Stdout.Write(packed)
	fmt.Fprintf(os.Stderr, "%d passwords\n", len(keys))
	return err
}

// wanted leaves out what is refused for its length, unless it is a word that gets long
// enough by a few digits behind it.
func wanted(word string) bool {
	last, _ := utf8.DecodeLastRuneInString(word)
	n := utf8.RuneCountInString(word)
	return utf8.ValidString(word) && (n >= credential.MinLeast || n >= 4 && unicode.IsLetter(last))
}
