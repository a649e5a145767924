-- +goose Up
CREATE TABLE `post` (`id` int unsigned AUTO_INCREMENT PRIMARY KEY, `title` varchar(50) DEFAULT 'it''s; "so"') ENGINE=InnoDB;
# a comment of MySQL's own; with a semicolon
INSERT INTO `post` (`title`) VALUES ('a\'b;c'); -- +goose is no mark here
-- +goose Down
DROP TABLE `post`;
