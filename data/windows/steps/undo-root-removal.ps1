# inputs: begin
$OldCaFiles = @()
$OldCaThumbprints = @()
# inputs: end
# part: before
# part: store
# part: store-again
function Step-UndoRootRemoval {
    foreach ($File in $OldCaFiles) {
        Restore-ToStore -Store 'Root' -File $File -Label ($OldCaThumbprints[[array]::IndexOf($OldCaFiles, $File)])
    }
}
