class V3__Code {}
