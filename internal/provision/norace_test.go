//go:build !race

package provision

const stormOfPeople = 10_000
