package main

import "embed"

//go:embed help/*.txt
var helpFiles embed.FS

// helpTexts returns the text of each command, and under "" that of the program.
func helpTexts() map[string]string {
	texts := map[string]string{"": helpText("holdfast")}
	for _, c := range commandNames() {
		texts[c] = helpText(c)
	}
	return texts
}

// commandNames lists the subcommands. It stands apart from commands, whose functions need it themselves.
func commandNames() []string {
	return []string{"dev", "server", "status", "ring", "repair", "leave", "remove", "ready", "version"}
}

func helpText(name string) string {
	text, err := helpFiles.ReadFile("help/" + name + ".txt")
	if err != nil {
		panic("holdfast: no help for " + name)
	}
	return string(text)
}
