// Package secret keeps an operator's secrets unreadable at rest and out of logs. Its own format is authenticated encryption
// (AES-256-GCM) under a key that is in a file of root's; it reads Posit Workbench's older format, which has no
// authentication, and writes it only when asked to. It does not hide a secret from who can read both files: nothing could.
package secret

import (
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
	"syscall"
)

// Text is a secret that prints as dots, whichever way it is printed. Reveal is the only way to its value.
type Text struct{ value string }

// New wraps a secret.
func New(value string) Text { return Text{value} }

// Reveal returns the secret.
func (t Text) Reveal() string { return t.value }

const dots = "[secret]"

func (t Text) String() string               { return dots }
func (t Text) GoString() string             { return dots }
func (t Text) Format(f fmt.State, _ rune)   { f.Write([]byte(dots)) }
func (t Text) MarshalText() ([]byte, error) { return []byte(dots), nil }
func (t Text) LogValue() slog.Value         { return slog.StringValue(dots) }

// What is wrong with an encrypted value.
var (
	ErrOtherKey = errors.New("encrypted with another key")
	ErrDamaged  = errors.New("damaged, or not meant for this setting")
)

const (
	prefix  = "pwb1:"
	keySize = 32
)

// Key encrypts and decrypts. It is made by LoadKey or CreateKey.
type Key struct {
	bytes [keySize]byte
}

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
	return Text{string(plain)}, nil
}

// LoadKey reads a key file. It is refused when others can read it.
func LoadKey(path string) (*Key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s can be read by others (mode %04o); run: chmod 0600 %s", path, st.Mode().Perm(), path)
	}
	text := make([]byte, 2*keySize+2)
	n, _ := f.Read(text)
	b, err := hex.DecodeString(strings.TrimSuffix(string(text[:n]), "\n"))
	if err != nil || len(b) != keySize {
		return nil, fmt.Errorf("key file %s does not hold %d hexadecimal digits", path, 2*keySize)
	}
	k := &Key{}
	copy(k.bytes[:], b)
	return k, nil
}

// CreateKey makes a new key and writes it, whole and synced, to a file that must not be there yet.
func CreateKey(path string) (*Key, error) {
	k := &Key{}
	rand.Read(k.bytes[:])
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("write a new key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(k.bytes[:]) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("write a new key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil { // never over a key that other secrets need
		return nil, fmt.Errorf("write a new key: %w", err)
	}
	return k, nil
}
