package account

// Name is a login name that Parse or a NamePolicy has accepted: safe as a path component, a field of passwd and an
// argument of a command.
type Name string
