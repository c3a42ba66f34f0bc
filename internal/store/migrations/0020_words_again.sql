-- The words by which people are found are entered anew by the program, in the same
-- migration: a word may not stand for a group and for itself. The table is its key,
-- which halves what is written for each person.
DROP TABLE user_words;
CREATE TABLE user_words (
    word    TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (word, user_id)
) WITHOUT ROWID;
CREATE INDEX user_words_user ON user_words (user_id);
