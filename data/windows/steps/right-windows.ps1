# inputs: begin
$ComputerName = ''
$Windows = ''
$LeastBuild = ''
$PfxFile = ''
$Thumbprint = ''
# inputs: end
# part: held
function Step-RightWindows {
    if (Test-Held -Label $Thumbprint) {
        return 'the PFX file is imported already'
    }
    $Build = [System.Environment]::OSVersion.Version.Build
    if ($Build -lt [int]$LeastBuild) {
        throw ('Windows build {0} of {1} can not open this PFX file, which was made for {2}: it would call the password wrong.' -f $Build, $ComputerName, $Windows)
    }
    try {
        $null = Get-Command -Name 'Import-PfxCertificate'
    }
    catch {
        throw ('Windows build {0} of {1} has no command to import a PFX file (Windows 7 and Server 2008 R2 have none). What to do: import {2} by hand, in mmc, Certificates (Local Computer), Personal, then run this script again.' -f $Build, $ComputerName, $PfxFile)
    }
    'Windows build {0} can open the PFX file' -f $Build
}
