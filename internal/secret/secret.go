// Package secret keeps an operator's secrets unreadable at rest and out of logs. Its own format is authenticated encryption
// (AES-256-GCM) under a key that is in a file of root's; it reads Posit Workbench's older format, which has no
// authentication, and writes it only when asked to. It does not hide a secret from who can read both files: nothing could.
package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Text is a secret that prints as dots, whichever way it is printed. Reveal is the only way to its value. The zero value is
// an empty secret.
type Text struct {
	// A pointer, because fmt cannot call the methods of a value in an unexported field of somebody's struct: it prints what
	// is inside, and of a pointer inside only the address (lesson 11: GHSA-p989-2f5w-9cf6, tokens in debug logs).
	value *string
}

// New wraps a secret.
func New(value string) Text { return Text{&value} }

// Reveal returns the secret.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

const dots = "[secret]"

func (t Text) String() string               { return dots }
func (t Text) GoString() string             { return dots }
func (t Text) Format(f fmt.State, _ rune)   { f.Write([]byte(dots)) }
func (t Text) MarshalText() ([]byte, error) { return []byte(dots), nil }
func (t Text) LogValue() slog.Value         { return slog.StringValue(dots) }

// What is wrong with an encrypted value, or with a key.
var (
	ErrOtherKey = errors.New("encrypted with another key")
	ErrDamaged  = errors.New("damaged, or not meant for this setting")
	ErrKeyFile  = errors.New("not a key: not 64 hexadecimal digits")
)

const (
	prefix  = "pwb1:"
	keySize = 32
)

// Key encrypts and decrypts, and prints as dots. It is made by ParseKey or CreateKey; it is safe for concurrent use.
type Key struct {
	bytes [keySize]byte
}

// Format keeps the key out of logs.
func (Key) Format(f fmt.State, _ rune) { f.Write([]byte(dots)) }

// id tells keys apart without telling anything about them.
func (k *Key) id() string {
	sum := sha256.Sum256(append([]byte("pwb key id\x00"), k.bytes[:]...))
	return hex.EncodeToString(sum[:4])
}

func (k *Key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.bytes[:])
	if err != nil {
		panic(err) // the key's length is a constant
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

// Seal encrypts a secret for one setting: pwb1:KEYID:BASE64. The same text twice is two values.
func (k *Key) Seal(setting, plain string) string {
	sealed := k.aead().Seal(nil, nil, []byte(plain), []byte(setting))
	return prefix + k.id() + ":" + base64.RawURLEncoding.EncodeToString(sealed)
}

// Sealed says whether a value is in the format of Seal.
func Sealed(value string) bool { return strings.HasPrefix(value, prefix) }

// Open decrypts what Seal has made. Errors are ErrOtherKey and ErrDamaged, wrapped.
func (k *Key) Open(setting, value string) (Text, error) {
	id, data, ok := strings.Cut(strings.TrimPrefix(value, prefix), ":")
	if !ok || !Sealed(value) {
		return Text{}, ErrDamaged
	}
	if id != k.id() {
		return Text{}, fmt.Errorf("%w (its key is %.8q, this one %s)", ErrOtherKey, id, k.id())
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(data)
	if err != nil {
		return Text{}, ErrDamaged
	}
	plain, err := k.aead().Open(nil, nil, sealed, []byte(setting))
	if err != nil {
		return Text{}, ErrDamaged
	}
	return New(string(plain)), nil
}

// ParseKey reads the text of a key file: 64 hexadecimal digits and a newline. Who may read that file is for the caller to
// check, before.
func ParseKey(text []byte) (*Key, error) {
	digits := bytes.TrimSuffix(text, []byte("\n"))
	k := &Key{}
	if len(digits) != hex.EncodedLen(keySize) {
		return nil, ErrKeyFile
	}
	if _, err := hex.Decode(k.bytes[:], digits); err != nil {
		return nil, ErrKeyFile // hex's own error quotes a digit of the key
	}
	return k, nil
}

// CreateKey makes a new key and writes it, whole and synced, to a file that must not be there yet: the error is then
// fs.ErrExist, and other secrets need that key.
func CreateKey(path string) (*Key, error) {
	k := &Key{}
	rand.Read(k.bytes[:])
	if err := writeNew(path, hex.EncodeToString(k.bytes[:])+"\n"); err != nil {
		return nil, fmt.Errorf("write a new key: %w", err)
	}
	return k, nil
}

func writeNew(path, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-") // mode 0600, O_EXCL (lesson 10: never a chmod after)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil { // unlike rename, never over what is there
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name last: a key that a crash takes away takes every value with it that it has encrypted.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
