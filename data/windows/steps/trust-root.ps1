# inputs: begin
$CaFiles = @()
$CaThumbprints = @()
# inputs: end
# part: before
# part: store
function Step-TrustRoot {
    foreach ($File in $CaFiles) {
        Add-ToStore -Store 'Root' -File $File -Label ($CaThumbprints[[array]::IndexOf($CaFiles, $File)])
    }
}
