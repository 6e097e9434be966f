# inputs: begin
$CaThumbprints = @()
$BarredFiles = @()
$BarredThumbprints = @()
# inputs: end
# part: before
# part: store
# part: used-below
# part: root-removal
function Step-BarCertificate {
    foreach ($Used in @(Get-UsedBelow -Carried $BarredFiles -Labels $BarredThumbprints -ByHand @($ByHand.Split(',').Trim()))) {
        throw ('{0} may still be in use, and it is to be barred, or its CA is.' -f $Used)
    }
    foreach ($Label in $BarredThumbprints) {
        Remove-Root -Label $Label
    }
    foreach ($File in $BarredFiles) {
        Add-ToStore -Store 'Disallowed' -File $File -Label ($BarredThumbprints[[array]::IndexOf($BarredFiles, $File)])
    }
}
