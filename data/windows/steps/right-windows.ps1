# inputs: begin
$ComputerName = ''
$Windows = ''
$LeastBuild = ''
# inputs: end
function Step-RightWindows {
    $Build = [System.Environment]::OSVersion.Version.Build
    if ($Build -lt [int]$LeastBuild) {
        throw ('Windows build {0} of {1} can not open this PFX file, which was made for {2}: it would call the password wrong.' -f $Build, $ComputerName, $Windows)
    }
    'Windows build {0} can open the PFX file' -f $Build
}
