# inputs: begin
$IntermediateFiles = @()
$IntermediateThumbprints = @()
# inputs: end
# part: before
# part: store
function Step-Intermediate {
    foreach ($File in $IntermediateFiles) {
        Add-ToStore -Store 'CA' -File $File -Label ($IntermediateThumbprints[[array]::IndexOf($IntermediateFiles, $File)])
    }
}
