# inputs: begin
$CaThumbprints = @()
# inputs: end
# part: before
# part: store
function Step-UndoTrust {
    foreach ($Label in $CaThumbprints) {
        Remove-FromStore -Store 'Root' -Label $Label
    }
}
