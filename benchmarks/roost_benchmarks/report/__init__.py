"""What a person looks at: pictures of a report, and one page with all of it."""
