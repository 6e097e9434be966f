# inputs: begin
$CaThumbprints = @()
$OldCaFiles = @()
$OldCaThumbprints = @()
# inputs: end
# part: before
# part: used-below
# part: root-removal
function Step-RemoveRoot {
    foreach ($Used in @(Get-UsedBelow -Carried $OldCaFiles -Labels $OldCaThumbprints -ByHand @($ByHand.Split(',').Trim()))) {
        throw ('{0} may still be in use, and a CA that is to go has issued it.' -f $Used)
    }
    foreach ($Label in $OldCaThumbprints) {
        Remove-Root -Label $Label
    }
}
