package tldwdb

// What tests outside the package need of a store's insides.
var (
	WriteManifest     = writeManifest
	ReadManifest      = readManifest
	WriteVerification = writeVerification
	CheckParts        = checkParts
	OpenPart          = openPart
	PruneAt           = pruneAt
)
