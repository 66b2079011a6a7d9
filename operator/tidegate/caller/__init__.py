"""What is done with the rights of whoever asks for it, by a command or over HTTP: with those, and with no others."""
