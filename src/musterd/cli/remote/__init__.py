"""The commands that talk to a server, as its clients do. They import the client only when they are called."""
