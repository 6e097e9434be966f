# inputs: begin
$BarredFiles = @()
$BarredThumbprints = @()
# inputs: end
# part: before
# part: store
# part: store-again
function Step-UndoBarring {
    foreach ($File in $BarredFiles) {
        $Label = $BarredThumbprints[[array]::IndexOf($BarredFiles, $File)]
        Remove-FromStore -Store 'Disallowed' -Label $Label
        Restore-ToStore -Store 'Root' -File $File -Label $Label
    }
}
