# inputs: begin
$ComputerName = ''
# inputs: end
function Step-RightComputer {
    $Names = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
    if ($Names -notcontains $ComputerName.Split('.')[0]) {
        throw ('This folder is for {0}, but this computer is {1}.' -f $ComputerName, $env:COMPUTERNAME)
    }
    'this computer is {0}' -f $ComputerName
}
