"""The tests. A package, since another distribution installs one of this name, which would come first."""
