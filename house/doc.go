// Package house keeps the project's own rules: which package may know which, what may change while the program runs,
// that names are explained, and that the pages of the documentation say what is so. It has tests only.
package house
