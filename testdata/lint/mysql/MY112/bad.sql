ALTER TABLE parcels MODIFY flags set('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'); -- expect: MY112 warning
