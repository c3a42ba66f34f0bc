package upstream

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Bounds on a message, beside those that crewjam/saml has.
const (
	maxMessage    = 256 << 10 // bytes
	maxXMLDepth   = 32
	maxTokens     = 50_000
	maxXMLAttrs   = 64 // of one element
	maxRelayState = 1024
)

// checkXML refuses what no parser is to see: a document type with its entities,
// processing instructions, another encoding than UTF-8, and what is too long, too deep
// or too much. A message of the protocol has no comments either: parsers disagree
// about the text around one.
func checkXML(text []byte, limit int, comments bool) error {
	if len(text) > limit {
		return errors.New("it is too long")
	}
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	depth, roots := 0, 0
	for n := 0; ; n++ {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if depth != 0 || roots != 1 {
				return errors.New("it is not one element of XML")
			}
			return nil
		}
		if err != nil {
			return errors.New("it is not XML, or has entities")
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				roots++
			}
			if len(t.Attr) > maxXMLAttrs {
				return errors.New("an element has too many attributes")
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("it has a document type")
		case xml.ProcInst:
			if n != 0 || t.Target != "xml" {
				return errors.New("it has a processing instruction")
			}
		case xml.Comment:
			if !comments {
				return errors.New("it has a comment")
			}
		}
		if depth < 0 || depth > maxXMLDepth || n > maxTokens {
			return errors.New("it is too deep, or has too many elements")
		}
	}
}

// readPosted decodes a message that a form brought (saml-bindings §3.5.4).
func readPosted(value string) ([]byte, error) {
	if len(value) > base64.StdEncoding.EncodedLen(maxMessage)+4096 { // line breaks
		return nil, errors.New("it is too long")
	}
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	return text, checkXML(text, maxMessage, false)
}

// readRedirected decodes a message that an address brought (saml-bindings §3.4.4.1).
func readRedirected(value string) ([]byte, error) {
	if len(value) > 64<<10 {
		return nil, errors.New("it is too long")
	}
	packed, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxMessage+1))
	if err != nil {
		return nil, errors.New("it is not deflated")
	}
	return text, checkXML(text, maxMessage, false)
}

// shape is how a response is built, as far as that says something of itself.
type shape struct {
	encrypted, signedResponse, signedAssertion bool
}

// checkShape refuses a response that is built as no provider builds one, before
// anybody looks for what is signed in it: signature wrapping needs a second assertion,
// a second element with an ID, or a signature somewhere else than in what it signs.
// Names are compared without their namespaces: so a stranger's assertion counts too.
func checkShape(text []byte) (shape, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil {
		return shape{}, errors.New("it is not XML")
	}
	root := doc.Root()
	if root.Tag != "Response" {
		return shape{}, errors.New("it is not a response")
	}
	c := counter{root: root, ids: map[string]bool{}}
	if err := c.walk(root); err != nil {
		return shape{}, err
	}
	if c.assertions > 1 {
		return shape{}, errors.New("it has more than one assertion")
	}
	s := shape{
		encrypted:      len(root.SelectElements("EncryptedAssertion")) == 1,
		signedResponse: len(root.SelectElements("Signature")) == 1,
	}
	if a := root.SelectElement("Assertion"); a != nil {
		s.signedAssertion = len(a.SelectElements("Signature")) == 1
	}
	return s, nil
}

type counter struct {
	root       *etree.Element
	ids        map[string]bool
	assertions int
}

func (c *counter) walk(el *etree.Element) error {
	parent := el.Parent()
	switch el.Tag {
	case "Assertion", "EncryptedAssertion":
		c.assertions++
		if parent != c.root {
			return errors.New("an assertion is where none belongs")
		}
	case "Response":
		if el != c.root {
			return errors.New("a response is where none belongs")
		}
	case "Signature":
		if parent != c.root && (parent == nil || parent.Tag != "Assertion") {
			return errors.New("a signature is where none belongs")
		}
	case "Object": // of a signature, where wrapping hides things
		return errors.New("a signature has an object in it")
	}
	for _, a := range el.Attr {
		if strings.EqualFold(a.Key, "id") {
			if c.ids[a.Value] {
				return errors.New("two elements have one ID")
			}
			c.ids[a.Value] = true
		}
	}
	for _, child := range el.ChildElements() {
		if err := c.walk(child); err != nil {
			return err
		}
	}
	return nil
}
