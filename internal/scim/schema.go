package scim

import (
	"strings"

	"github.com/pwb-project/pwb/internal/store"
)

// The URNs that this service speaks.
const (
	urnUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	urnGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	urnEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	urnPosixUser  = "urn:pwb:params:scim:schemas:extension:posix:1.0:User"
	urnPosixGroup = "urn:pwb:params:scim:schemas:extension:posix:1.0:Group"

	urnList    = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	urnError   = "urn:ietf:params:scim:api:messages:2.0:Error"
	urnPatchOp = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	urnSearch  = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
)

// The types of RFC 7643, section 2.3.
const (
	kindString    = "string"
	kindBoolean   = "boolean"
	kindInteger   = "integer"
	kindDateTime  = "dateTime"
	kindReference = "reference"
	kindBinary    = "binary"
	kindComplex   = "complex"
)

// attribute is one attribute of a schema, in the words of RFC 7643, section 7. Fields that are empty have the RFC's default.
type attribute struct {
	name, kind, about string

	many, required, exact bool
	mutability            string // readWrite
	returned              string // default
	unique                string // none
	canonical             []string
	refers                []string
	sub                   []*attribute

	column store.Column // where it is kept, when not in the document
	is     string       // what it always is, when it is kept nowhere
}

func (a *attribute) readOnly() bool { return a.mutability == "readOnly" }

// child returns the sub-attribute of a name, or nil.
func (a *attribute) child(name string) *attribute { return named(a.sub, name) }

// named finds an attribute by its name, whatever the case of its letters (RFC 7643, 2.1).
func named(all []*attribute, name string) *attribute {
	for _, a := range all {
		if strings.EqualFold(a.name, name) {
			return a
		}
	}
	return nil
}

// schema is a set of attributes under one URN.
type schema struct {
	urn, name, about string
	attributes       []*attribute
}

// resource is a resource type.
type resource struct {
	name, endpoint, about string
	core                  *schema
	extensions            []*schema
	common                []*attribute // those of every resource, which no schema lists
}

func text(name, about string) *attribute {
	return &attribute{name: name, kind: kindString, about: about}
}

func exact(name, about string) *attribute {
	return &attribute{name: name, kind: kindString, about: about, exact: true}
}

func primaryFlag() *attribute {
	return &attribute{name: "primary", kind: kindBoolean, about: "Whether this is the preferred value; one at most is."}
}

func typeLabel(canonical ...string) *attribute {
	return &attribute{name: "type", kind: kindString, about: "What the value is for.", canonical: canonical}
}

// plural is a list of values with the sub-attributes that lists of RFC 7643, 2.4 have.
func plural(name, about string, value *attribute, types ...string) *attribute {
	value.name = "value"
	return &attribute{name: name, kind: kindComplex, about: about, many: true, sub: []*attribute{
		value, text("display", "A label for people."), typeLabel(types...), primaryFlag(),
	}}
}

func uri(name, about string, refers ...string) *attribute {
	return &attribute{name: name, kind: kindReference, about: about, exact: true, refers: refers}
}

func fixed(a *attribute) *attribute {
	a.mutability = "readOnly"
	for _, s := range a.sub {
		fixed(s)
	}
	return a
}

func kept(a *attribute, column store.Column) *attribute {
	a.column = column
	return a
}

var userSchema = &schema{urn: urnUser, name: "User", about: "A person's account", attributes: []*attribute{
	{name: "userName", kind: kindString, about: "What the person signs in with. The login name on this machine is made of it, once.", required: true, unique: "server", column: store.ColumnUserName},
	{name: "name", kind: kindComplex, about: "The parts of the person's name.", sub: []*attribute{
		text("formatted", "The whole name."), text("familyName", "The family name."), text("givenName", "The given name."),
		text("middleName", "The middle names."), text("honorificPrefix", "A title before the name."), text("honorificSuffix", "What stands behind the name."),
	}},
	kept(text("displayName", "The name that is shown; the account is labelled with it."), store.ColumnDisplayName),
	text("nickName", "What the person is called."),
	uri("profileUrl", "A page about the person.", "external"),
	text("title", "The person's title, as in \"Vice President\"."),
	text("userType", "How the person belongs to the organisation."),
	text("preferredLanguage", "As in Accept-Language."),
	text("locale", "For dates and numbers."),
	text("timezone", "In the form \"Europe/Berlin\"."),
	{name: "active", kind: kindBoolean, about: "Whether the person may use the account. When it becomes false nobody can log in to it any more; nothing is deleted.", column: store.ColumnActive},
	{name: "password", kind: kindString, about: "Accepted and thrown away: there are no passwords here.", exact: true, mutability: "writeOnly", returned: "never"},
	plural("emails", "E-mail addresses.", text("", "An e-mail address."), "work", "home", "other"),
	plural("phoneNumbers", "Phone numbers.", text("", "A phone number."), "work", "home", "mobile", "fax", "pager", "other"),
	plural("ims", "Addresses for instant messages.", text("", "An address."), "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
	plural("photos", "Pictures of the person.", uri("", "Where a picture is.", "external"), "photo", "thumbnail"),
	{name: "addresses", kind: kindComplex, about: "Postal addresses.", many: true, sub: []*attribute{
		text("formatted", "The whole address."), text("streetAddress", "Street and number."), text("locality", "The city."),
		text("region", "The state or region."), text("postalCode", "The postal code."), text("country", "The country."),
		typeLabel("work", "home", "other"), primaryFlag(),
	}},
	fixed(&attribute{name: "groups", kind: kindComplex, about: "The groups that the person is in.", many: true, column: store.ColumnGroups, sub: []*attribute{
		kept(exact("value", "The id of the group."), store.ElementID), uri("$ref", "Where the group is.", "Group"),
		kept(text("display", "The name of the group."), store.ElementDisplay),
		{name: "type", kind: kindString, about: "Memberships are direct here.", canonical: []string{"direct"}, is: "direct"},
	}}),
	plural("entitlements", "What the person is entitled to.", text("", "An entitlement.")),
	plural("roles", "What the person is.", text("", "A role.")),
	plural("x509Certificates", "Certificates.", &attribute{kind: kindBinary, about: "A certificate, DER in base64.", exact: true}),
}}

var enterpriseSchema = &schema{urn: urnEnterprise, name: "EnterpriseUser", about: "A person's place in an organisation", attributes: []*attribute{
	text("employeeNumber", "The organisation's number for the person."), text("costCenter", "A cost center."), text("organization", "An organisation."),
	text("division", "A division."), text("department", "A department."),
	{name: "manager", kind: kindComplex, about: "The person's manager.", sub: []*attribute{
		exact("value", "The id of the manager."), uri("$ref", "Where the manager is.", "User"), fixed(text("displayName", "The manager's name.")),
	}},
}}

var posixUserSchema = &schema{urn: urnPosixUser, name: "PosixUser", about: "The Linux account of a person. It is given here, never by a client.", attributes: []*attribute{
	fixed(&attribute{name: "uidNumber", kind: kindInteger, about: "The user id: given once, and never to anybody else.", unique: "server", column: store.ColumnUID}),
	fixed(&attribute{name: "gidNumber", kind: kindInteger, about: "The id of the private group.", column: store.ColumnGID}),
	fixed(&attribute{name: "userName", kind: kindString, about: "The login name.", exact: true, unique: "server", column: store.ColumnLogin}),
	fixed(&attribute{name: "homeDirectory", kind: kindString, about: "The home directory.", exact: true, column: store.ColumnHome}),
	fixed(&attribute{name: "loginShell", kind: kindString, about: "The login shell.", exact: true, column: store.ColumnShell}),
}}

var groupSchema = &schema{urn: urnGroup, name: "Group", about: "A group of people", attributes: []*attribute{
	{name: "displayName", kind: kindString, about: "The name of the group. The name on this machine is made of it.", required: true, unique: "server", column: store.ColumnDisplayName},
	{name: "members", kind: kindComplex, about: "Who is in the group: users, no groups.", many: true, column: store.ColumnMembers, sub: []*attribute{
		{name: "value", kind: kindString, about: "The id of the user.", exact: true, mutability: "immutable", column: store.ElementID},
		{name: "$ref", kind: kindReference, about: "Where the user is.", exact: true, mutability: "immutable", refers: []string{"User"}},
		{name: "type", kind: kindString, about: "What the member is.", mutability: "immutable", canonical: []string{"User"}, is: "User"},
		{name: "display", kind: kindString, about: "The member's name.", mutability: "readOnly", returned: "request", column: store.ElementDisplay},
	}},
}}

var posixGroupSchema = &schema{urn: urnPosixGroup, name: "PosixGroup", about: "The Linux group. It is given here, never by a client.", attributes: []*attribute{
	fixed(&attribute{name: "gidNumber", kind: kindInteger, about: "The group id: given once, and never to another group.", unique: "server", column: store.ColumnGID}),
	fixed(&attribute{name: "groupName", kind: kindString, about: "The name of the group on this machine.", exact: true, unique: "server", column: store.ColumnLogin}),
}}

// common are the attributes of every resource (RFC 7643, 3.1).
func common(resourceType string) []*attribute {
	return []*attribute{
		{name: "id", kind: kindString, exact: true, mutability: "readOnly", returned: "always", unique: "server", column: store.ColumnID},
		{name: "externalId", kind: kindString, exact: true, column: store.ColumnExternalID},
		fixed(&attribute{name: "meta", kind: kindComplex, sub: []*attribute{
			{name: "resourceType", kind: kindString, exact: true, is: resourceType}, {name: "created", kind: kindDateTime, column: store.ColumnCreated},
			{name: "lastModified", kind: kindDateTime, column: store.ColumnModified}, {name: "location", kind: kindReference}, {name: "version", kind: kindString},
		}}),
		{name: "schemas", kind: kindString, many: true, exact: true, returned: "always"},
	}
}

var users = &resource{
	name: "User", endpoint: "/Users", about: "People's accounts", core: userSchema,
	extensions: []*schema{enterpriseSchema, posixUserSchema}, common: common("User"),
}

var groups = &resource{
	name: "Group", endpoint: "/Groups", about: "Groups of people", core: groupSchema,
	extensions: []*schema{posixGroupSchema}, common: common("Group"),
}

// extension returns the extension of a URN, whatever the case of its letters, or nil.
func (r *resource) extension(urn string) *schema {
	for _, s := range r.extensions {
		if strings.EqualFold(s.urn, urn) {
			return s
		}
	}
	return nil
}

// place is where an attribute is in a resource.
type place struct {
	extension *schema    // nil: a core or a common attribute
	attr      *attribute // nil: the extension itself
	sub       *attribute // nil: the attribute itself
}

// find resolves a name in the notation of RFC 7644, 3.10: URN:attribute.sub. The error is words for the one who wrote it.
func (r *resource) find(name string) (p place, known bool) {
	attributes := append([]*attribute(nil), r.common...)
	rest := name
	if cut, ok := cutURN(rest, r.core.urn); ok {
		rest = cut
		if rest == "" {
			return p, false
		}
	} else {
		for _, s := range r.extensions {
			if cut, ok := cutURN(rest, s.urn); ok {
				p.extension, rest = s, cut
				break
			}
		}
	}
	switch {
	case p.extension != nil && rest == "":
		return p, true
	case p.extension != nil:
		attributes = p.extension.attributes
	default:
		attributes = append(attributes, r.core.attributes...)
	}
	head, tail, dotted := strings.Cut(rest, ".")
	if p.attr = named(attributes, head); p.attr == nil {
		return p, false
	}
	if dotted {
		p.sub = p.attr.child(tail)
	}
	return p, !dotted || p.sub != nil
}

// cutURN takes a URN and the colon behind it off a name.
func cutURN(name, urn string) (rest string, ok bool) {
	if len(name) < len(urn) || !strings.EqualFold(name[:len(urn)], urn) {
		return name, false
	}
	if len(name) == len(urn) {
		return "", true
	}
	return name[len(urn)+1:], name[len(urn)] == ':'
}
