package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"
)

// Workbench's first format: FP base64(IV32 || AES-128-CBC-PKCS7(text)) FP, where FP is the checksum of the key file's bytes.
// The key is the file's first 16 bytes under a constant mask; there is no authentication. It is obfuscation, and read for
// the sake of values that are there already.
const (
	fingerprintLen = 8
	ivLen          = 32 // of which 16 are used
)

var mask = [...]byte{223, 99, 111, 160, 122, 212, 223, 105, 37, 190}

func fingerprint(key []byte) string { return fmt.Sprintf("%08X", crc32.ChecksumIEEE(key)) }

// SealedByWorkbench says whether a value has the frame of Workbench's format.
func SealedByWorkbench(value string) bool {
	n := len(value)
	return n > 2*fingerprintLen && value[:fingerprintLen] == value[n-fingerprintLen:] &&
		strings.Trim(value[:fingerprintLen], "0123456789ABCDEF") == ""
}

func workbenchCipher(key []byte) (cipher.Block, error) {
	if len(key) < 32 {
		return nil, errors.New("secure-cookie-key has under 32 bytes")
	}
	masked := make([]byte, aes.BlockSize)
	for i := range masked {
		masked[i] = key[i] ^ mask[i%len(mask)]
	}
	return aes.NewCipher(masked)
}

// OpenWorkbench decrypts a value of Workbench's with the bytes of its secure-cookie-key file.
func OpenWorkbench(key []byte, value string) (Text, error) {
	if !SealedByWorkbench(value) {
		return Text{}, ErrDamaged
	}
	if value[:fingerprintLen] != fingerprint(key) {
		return Text{}, fmt.Errorf("%w: fingerprint mismatch, the value has %s, secure-cookie-key %s", ErrOtherKey, value[:fingerprintLen], fingerprint(key))
	}
	b, err := base64.StdEncoding.DecodeString(value[fingerprintLen : len(value)-fingerprintLen])
	if err != nil || len(b) < ivLen+aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return Text{}, ErrDamaged
	}
	block, err := workbenchCipher(key)
	if err != nil {
		return Text{}, err
	}
	plain := b[ivLen:]
	cipher.NewCBCDecrypter(block, b[:aes.BlockSize]).CryptBlocks(plain, plain)
	text, ok := unpad(plain)
	if !ok || !utf8.Valid(text) {
		return Text{}, ErrDamaged
	}
	return New(string(text)), nil
}

// unpad takes PKCS #7 padding off. Padding, and that a secret is text, is all by which this format can show damage.
func unpad(blocks []byte) ([]byte, bool) {
	pad := int(blocks[len(blocks)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, false
	}
	text, padding := blocks[:len(blocks)-pad], blocks[len(blocks)-pad:]
	return text, bytes.Equal(padding, bytes.Repeat([]byte{byte(pad)}, pad))
}

// SealForWorkbench encrypts a value in Workbench's format.
func SealForWorkbench(key []byte, plain string) (string, error) {
	block, err := workbenchCipher(key)
	if err != nil {
		return "", err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	b := make([]byte, ivLen, ivLen+len(plain)+pad)
	rand.Read(b)
	b = append(append(b, plain...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, b[:aes.BlockSize]).CryptBlocks(b[ivLen:], b[ivLen:])
	fp := fingerprint(key)
	return fp + base64.StdEncoding.EncodeToString(b) + fp, nil
}
