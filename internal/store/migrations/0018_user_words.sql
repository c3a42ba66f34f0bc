-- By which words people are found: folded, each whole and, where a script has no
-- spaces, from each of its characters on. "Group " and a name stands for a group. The
-- people who were there before are entered by the program, in migration 20.
CREATE TABLE user_words (
    word    TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (word, user_id)
);
CREATE INDEX user_words_user ON user_words (user_id);
CREATE INDEX users_admin ON users (id) WHERE admin = 1;
CREATE INDEX users_locked ON users (id) WHERE status = 'locked';
