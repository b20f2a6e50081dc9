// Package format is Docker's --format: Go templates with Docker's functions,
// over the rows of a list or over one object.
//
//	rows ─► Table.Write ─┬─ "", "table", "table TEMPLATE": columns below their titles
//	                     ├─ "json": an object a line
//	                     └─ TEMPLATE: executed on each row
//	object ─► Parse ─► template, executed by the caller
//
// A row is a struct of strings with Docker's names, which cost a template less
// than methods would.
package format
