package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// Where is a condition on users or groups. Op is
//
//	and, or           all or one of Of
//	not               Of[0] does not hold
//	always            it holds
//	any               one element of the list that Field names is as Of[0] says, in which fields are of the element; without
//	                  Of, there is an element
//	pr                Field is there
//	eq ne co sw ew gt ge lt le    Field compared with Value: a string, bool, float64, time.Time, or nil
//
// Fields come from a schema. Nothing of a client's text ever is a part of SQL.
type Where struct {
	Op    string
	Of    []Where
	Field Field
	Value any
}

// Field is where a value is kept: a column, or a place in the document.
type Field struct {
	Column Column
	Path   []string // in the document, or in an element; for Column 0
	Exact  bool     // letters differ by case
}

// Column is what is kept outside of the document.
type Column int

// The columns. Members and Groups are lists, whose elements have the fields ElementID and ElementDisplay.
const (
	InDocument Column = iota
	ColumnID
	ColumnExternalID
	ColumnUserName
	ColumnDisplayName
	ColumnActive
	ColumnCreated
	ColumnModified
	ColumnUID
	ColumnGID
	ColumnLogin
	ColumnHome
	ColumnShell
	ColumnMembers
	ColumnGroups
	ElementID
	ElementDisplay
)

// columnSQL says what a column is in SQL, and what it is folded, if that is kept.
type columnSQL struct{ plain, folded string }

var userColumns = map[Column]columnSQL{
	ColumnID: {"u.id", ""}, ColumnExternalID: {"u.external_id", ""}, ColumnUserName: {"u.user_name", "u.user_name_fold"},
	ColumnDisplayName: {"u.display_name", "u.display_fold"}, ColumnActive: {"account.provided", ""}, ColumnCreated: {"u.created", ""},
	ColumnModified: {"u.modified", ""}, ColumnUID: {"account.id", ""}, ColumnGID: {"account.id", ""}, ColumnLogin: {"account.name", ""},
	ColumnHome: {"account.home", ""}, ColumnShell: {"account.shell", ""},
	ColumnGroups: {"SELECT 1 FROM membership em JOIN scim_group e ON e.gid = em.gid WHERE em.account = u.account", ""},
	ElementID:    {"e.id", ""}, ElementDisplay: {"e.display_name", "e.display_fold"},
}

var groupColumns = map[Column]columnSQL{
	ColumnID: {"g.id", ""}, ColumnExternalID: {"g.external_id", ""}, ColumnDisplayName: {"g.display_name", "g.display_fold"},
	ColumnCreated: {"g.created", ""}, ColumnModified: {"g.modified", ""}, ColumnGID: {"g.gid", ""}, ColumnLogin: {"p.name", ""},
	ColumnMembers: {"SELECT 1 FROM membership em JOIN scim_user e ON e.account = em.account WHERE em.gid = g.gid", ""},
	ElementID:     {"e.id", ""}, ElementDisplay: {"coalesce(e.display_name, e.user_name)", ""},
}

// compiler makes SQL of a condition.
type compiler struct {
	columns map[Column]columnSQL
	doc     string // what paths lead through; an element's inside "any"
	sql     strings.Builder
	args    []any
	depth   int
}

func (c *compiler) write(text string, args ...any) {
	c.sql.WriteString(text)
	c.args = append(c.args, args...)
}

func (c *compiler) where(w Where) error {
	switch w.Op {
	case "and", "or":
		for i, one := range w.Of {
			c.write([]string{"(", " " + w.Op + " "}[min(i, 1)])
			if err := c.where(one); err != nil {
				return err
			}
		}
		c.write(")")
		return nil
	case "not":
		c.write("NOT coalesce(")
		err := c.where(w.Of[0])
		c.write(", 0)")
		return err
	case "any":
		return c.any(w)
	case "always":
		c.write("1")
		return nil
	}
	return c.compare(w)
}

// any looks for an element. Elements are of a list in the document, or rows of another table.
func (c *compiler) any(w Where) error {
	c.depth++
	doc := c.doc
	if column, relation := c.columns[w.Field.Column]; relation {
		c.write("EXISTS (" + column.plain)
		c.write(" AND ")
	} else {
		name := fmt.Sprintf("j%d", c.depth)
		c.write("EXISTS (SELECT 1 FROM json_each("+c.doc+", ?) "+name+" WHERE ", path(w.Field.Path))
		doc = name + ".value"
	}
	if len(w.Of) == 0 {
		c.write("1)")
		return nil
	}
	c.doc, doc = doc, c.doc
	err := c.where(w.Of[0])
	c.doc = doc
	c.write(")")
	return err
}

// path is a place in JSON, in SQLite's words. Names are quoted: those of extensions have dots.
// First is the first element of a list.
func path(names []string) string {
	return strings.ReplaceAll(`$."`+strings.Join(names, `"."`)+`"`, `."`+First+`"`, First)
}

// First, in a path, is the first element of a list.
const First = "[0]"

// value writes the SQL of a field, folded when letters of different case are the same.
func (c *compiler) value(f Field, fold bool) error {
	if f.Column == InDocument {
		if fold {
			c.write("fold(json_extract("+c.doc+", ?))", path(f.Path))
		} else {
			c.write("json_extract("+c.doc+", ?)", path(f.Path))
		}
		return nil
	}
	column, known := c.columns[f.Column]
	switch {
	case !known:
		return fmt.Errorf("no column %d here", f.Column)
	case fold && column.folded != "":
		c.write(column.folded)
	case fold:
		c.write("fold(" + column.plain + ")")
	default:
		c.write(column.plain)
	}
	return nil
}

var comparisons = map[string]string{"eq": " = ?", "ne": " IS NOT ?", "gt": " > ?", "ge": " >= ?", "lt": " < ?", "le": " <= ?"}

func (c *compiler) compare(w Where) error {
	value := w.Value
	text, isText := value.(string)
	if at, ok := value.(time.Time); ok {
		value = at.UnixMilli()
	}
	fold := isText && !w.Field.Exact
	if fold {
		text = account.Fold(text)
		value = text
	}
	switch {
	case w.Op == "pr" || w.Value == nil && w.Op == "ne":
		return c.around("", w.Field, false, " IS NOT NULL")
	case w.Value == nil && w.Op == "eq":
		return c.around("", w.Field, false, " IS NULL")
	case comparisons[w.Op] != "":
		return c.around("", w.Field, fold, comparisons[w.Op], value)
	case !isText:
		return fmt.Errorf("operator %q needs a text", w.Op)
	case text == "":
		return c.around("", w.Field, false, " IS NOT NULL")
	}
	// Not LIKE, in which % and _ mean something.
	switch w.Op {
	case "co":
		return c.around("instr(", w.Field, fold, ", ?) > 0", value)
	case "sw":
		return c.around("substr(", w.Field, fold, ", 1, length(?)) = ?", value, value)
	case "ew":
		return c.around("substr(", w.Field, fold, ", -length(?)) = ?", value, value)
	}
	return fmt.Errorf("no operator %q", w.Op)
}

func (c *compiler) around(before string, f Field, fold bool, after string, args ...any) error {
	c.write(before)
	if err := c.value(f, fold); err != nil {
		return err
	}
	c.write(after, args...)
	return nil
}

// Listing asks for a page of users or groups.
type Listing struct {
	Where      *Where // nil: all
	SortBy     *Field // nil: in the order in which they were made
	Descending bool
	Offset     int
	Limit      int  // 0 counts only
	Lists      bool // with members, or with groups
}

// ScimUsers returns a page of users, and how many there are on all pages.
func (s *Store) ScimUsers(ctx context.Context, l Listing) (page []ScimUser, total int, err error) {
	q := compiler{columns: userColumns, doc: "u.doc"}
	total, err = s.page(ctx, &q, l, selectScimUser, "FROM scim_user u JOIN account ON account.name = u.account ", "u.seq", func(row scanner) error {
		u, err := scanScimUser(row)
		page = append(page, u)
		return err
	})
	if err == nil && l.Lists {
		err = s.fillTeams(ctx, page)
	}
	return page, total, unavailable("list users", err)
}

// pageMembers bounds the members on a page of groups. Two hundred groups of ten thousand would be a quarter of a gigabyte.
const pageMembers = 20_000

// ScimGroups returns a page of groups, and how many there are on all pages. With members it may be shorter than Limit, but not
// empty: the groups that would bring it over the bound are on the next.
func (s *Store) ScimGroups(ctx context.Context, l Listing) (page []ScimGroup, total int, err error) {
	q := compiler{columns: groupColumns, doc: "g.doc"}
	total, err = s.page(ctx, &q, l, selectScimGroup, "FROM scim_group g JOIN provider_group p ON p.gid = g.gid ", "g.seq", func(row scanner) error {
		g, err := scanScimGroup(row)
		page = append(page, g)
		return err
	})
	if err == nil && l.Lists {
		page, err = s.fillMembers(ctx, page)
	}
	return page, total, unavailable("list groups", err)
}

func (s *Store) fillMembers(ctx context.Context, page []ScimGroup) ([]ScimGroup, error) {
	left := pageMembers
	for i := range page {
		members, err := membersOf(ctx, s.db, page[i].GID)
		if err != nil {
			return nil, err
		}
		if left -= len(members); left < 0 && i > 0 {
			return page[:i], nil
		}
		page[i].Members = members
	}
	return page, nil
}

func (s *Store) page(ctx context.Context, q *compiler, l Listing, choose, from, order string, each func(scanner) error) (total int, err error) {
	where := ""
	if l.Where != nil {
		if err := q.where(*l.Where); err != nil {
			return 0, err
		}
		where = "WHERE " + q.sql.String() + " "
	} else if strings.HasPrefix(from, "FROM scim_user") {
		from = "FROM scim_user u " // each has an account; counting need not look
	}
	args := q.args
	n := 0
	if l.Limit > 0 {
		if n, err = s.choose(ctx, q, l, choose+where, order, args, each); err != nil {
			return 0, err
		}
		if n < l.Limit && (n > 0 || l.Offset == 0) { // the last page
			return l.Offset + n, nil
		}
	}
	rows, err := s.ask(ctx, "SELECT count(*) "+from+where, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&total); err != nil {
			return 0, err
		}
	}
	return total, rows.Err()
}

func (s *Store) choose(ctx context.Context, q *compiler, l Listing, query, order string, args []any, each func(scanner) error) (n int, err error) {
	by := compiler{columns: q.columns, doc: q.doc}
	if l.SortBy != nil {
		if err := by.value(*l.SortBy, !l.SortBy.Exact); err != nil {
			return 0, err
		}
		by.write(map[bool]string{false: " ASC NULLS LAST, ", true: " DESC NULLS FIRST, "}[l.Descending])
	}
	rows, err := s.ask(ctx, query+"ORDER BY "+by.sql.String()+order+" LIMIT ? OFFSET ?", append(append(append([]any{}, args...), by.args...), l.Limit, l.Offset)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}
