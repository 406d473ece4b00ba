package scim

import (
	"net/http"
	"strings"
)

const (
	urnConfig       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	urnResourceType = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	urnSchema       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

// object is JSON on its way out.
type object = map[string]any

func fallback(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// definition is an attribute as /Schemas shows it. Nothing is null, and no text is empty: clients stumble over both.
func (a *attribute) definition() object {
	out := object{
		"name": a.name, "type": a.kind, "multiValued": a.many, "description": fallback(a.about, a.name), "required": a.required,
		"caseExact": a.exact, "mutability": fallback(a.mutability, "readWrite"), "returned": fallback(a.returned, "default"),
		"uniqueness": fallback(a.unique, "none"),
	}
	if len(a.canonical) > 0 {
		out["canonicalValues"] = a.canonical
	}
	if len(a.refers) > 0 {
		out["referenceTypes"] = a.refers
	}
	if len(a.sub) > 0 {
		out["subAttributes"] = definitions(a.sub)
	}
	return out
}

func definitions(all []*attribute) []object {
	out := make([]object, len(all))
	for i, a := range all {
		out[i] = a.definition()
	}
	return out
}

func (s *schema) definition(base string) object {
	return object{
		"schemas": []string{urnSchema}, "id": s.urn, "name": s.name, "description": s.about, "attributes": definitions(s.attributes),
		"meta": object{"resourceType": "Schema", "location": base + "/Schemas/" + s.urn},
	}
}

func (r *resource) definition(base string) object {
	extensions := []object{}
	for _, s := range r.extensions {
		extensions = append(extensions, object{"schema": s.urn, "required": false})
	}
	return object{
		"schemas": []string{urnResourceType}, "id": r.name, "name": r.name, "endpoint": r.endpoint, "description": r.about,
		"schema": r.core.urn, "schemaExtensions": extensions,
		"meta": object{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + r.name},
	}
}

// serviceConfig says what this service can do (RFC 7643, 5).
func serviceConfig(base string) object {
	yes, no := object{"supported": true}, object{"supported": false}
	return object{
		"schemas": []string{urnConfig},
		"patch":   yes, "sort": yes, "etag": yes, "changePassword": no,
		"bulk":   object{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": object{"supported": true, "maxResults": maxResults},
		"authenticationSchemes": []object{{
			"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
			"description": "A token that the operator of this machine has made: pwb user-service generate-token",
			"specUri":     "https://www.rfc-editor.org/rfc/rfc6750",
		}},
		"meta": object{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"},
	}
}

var allSchemas = []*schema{userSchema, groupSchema, enterpriseSchema, posixUserSchema, posixGroupSchema}

// discover answers the three endpoints that say what there is. RFC 7644, 4 wants filters there refused, and for the one object
// of ServiceProviderConfig ignored.
func (h *Handler) discover(q *request, what, id string) error {
	if err := q.allow(http.MethodGet); err != nil {
		return err
	}
	if what == "ServiceProviderConfig" {
		if id != "" {
			return notFound("there is nothing below /ServiceProviderConfig")
		}
		return q.answer(http.StatusOK, serviceConfig(q.base))
	}
	if q.query.Has("filter") {
		return &fault{status: http.StatusForbidden, detail: "/" + what + " cannot be filtered"}
	}
	all := []object{}
	for _, s := range allSchemas {
		if what == "Schemas" {
			all = append(all, s.definition(q.base))
		}
	}
	for _, r := range []*resource{users, groups} {
		if what == "ResourceTypes" {
			all = append(all, r.definition(q.base))
		}
	}
	if id == "" {
		return q.answer(http.StatusOK, object{"schemas": []string{urnList}, "totalResults": len(all), "itemsPerPage": len(all), "startIndex": 1, "Resources": all})
	}
	for _, one := range all {
		if strings.EqualFold(one["id"].(string), id) {
			return q.answer(http.StatusOK, one)
		}
	}
	return notFound("no " + what + " is called " + quoted(id))
}
