SELECT 'goose takes no file without a number';
