# pamtester: Go with one C file for the conversation.

build/pamtester: FORCE | deps-build
	$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./pamtester
