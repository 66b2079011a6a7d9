"""The rules, by what they are for: each looks at a draft, changes it if it applies, and says what it comes to."""
