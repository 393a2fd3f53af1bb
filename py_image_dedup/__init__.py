"""py-image-dedup: finds pictures that show the same thing, and moves or deletes the lesser copies."""
